//! The path of a value inside an object, kept as a chain on the stack and written out only when it is reported.
//!
//! Walks over an object pass `&Path` down: nothing is allocated for the values that are fine, which are nearly all.

use std::fmt;

/// One step down from the root.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Prefix(&'a str),
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

/// A chain of steps; displayed as `spec.ports[0].name`, `metadata.labels[app]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

impl<'a> Path<'a> {
    /// The path of the whole object: empty.
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    /// A path that begins with text (`spec.versions[0].schema.openAPIV3Schema`).
    pub(crate) fn prefix(text: &'a str) -> Self {
        Path { parent: None, step: if text.is_empty() { Step::Root } else { Step::Prefix(text) } }
    }

    /// A named field below this path.
    pub(crate) fn field(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Field(name) }
    }

    /// A key of a map below this path: written in brackets, since it may hold dots.
    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    /// An item of a list below this path.
    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// Whether this is the root of the object.
    pub(crate) fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Prefix(text) => f.write_str(text),
            Step::Field(name) if self.parent.is_none_or(Path::is_root) => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Key(key) => write!(f, "[{key}]"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_kubernetes_writes_it() {
        let spec = Path::ROOT.field("spec");
        let ports = spec.field("ports");
        assert_eq!(ports.index(0).field("name").to_string(), "spec.ports[0].name");
        assert_eq!(spec.key("a.b").to_string(), "spec[a.b]");
        assert_eq!(Path::prefix("spec.versions[0]").field("name").to_string(), "spec.versions[0].name");
        assert_eq!(Path::ROOT.to_string(), "");
    }
}
