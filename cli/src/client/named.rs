//! Objects as a person names them, in kubectl's two ways: `KIND[,KIND...] [NAME...]` and `KIND/NAME...`.

use crate::client::catalog::{Catalog, Resource};
use crate::failure::Failure;

/// A kind as it was written, and an object of it, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    /// What the kind is called.
    pub kind: &'a str,
    /// All where none is given.
    pub name: Option<&'a str>,
}

impl<'a> Named<'a> {
    /// The resource that is meant.
    pub(crate) fn resource<'c>(&self, catalog: &'c Catalog) -> Result<&'c Resource, Failure> {
        catalog.called(self.kind)
    }

    fn one(word: &'a str) -> Result<Named<'a>, Failure> {
        match word.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Named { kind, name: Some(name) })
            }
            _ => Err(Failure::usage(format!("{word:?} is not KIND/NAME"))
                .hint("where one object is written KIND/NAME, all are; else it is KIND NAME...")),
        }
    }
}

/// Reads the words after the command: `kind` is the first, `names` are the others.
pub(crate) fn parse<'a>(kind: &'a str, names: &'a [String]) -> Result<Vec<Named<'a>>, Failure> {
    let words = || std::iter::once(kind).chain(names.iter().map(String::as_str));
    if words().any(|word| word.contains('/')) {
        return words().map(Named::one).collect();
    }
    if kind.split(',').any(str::is_empty) {
        return Err(Failure::usage(format!("a kind is empty in {kind:?}")).hint("kinds are written KIND,KIND"));
    }
    if names.iter().any(String::is_empty) {
        return Err(Failure::usage("a name is empty"));
    }
    let of_kind = |kind| {
        let all = names.is_empty().then_some(Named { kind, name: None });
        all.into_iter().chain(names.iter().map(move |name| Named { kind, name: Some(name) }))
    };
    Ok(kind.split(',').flat_map(of_kind).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<String, String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let named = parse(&words[0], &words[1..]).map_err(|failure| format!("[{}] {failure}", failure.code))?;
        Ok(named.iter().map(|n| format!("{} {}", n.kind, n.name.unwrap_or("*"))).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn objects_are_named_as_with_kubectl() {
        let check = |words: &str, expected: &str| assert_eq!(parsed(words).as_deref(), Ok(expected), "{words}");
        check("cm", "cm *");
        check("cm,httproutes.gateway.networking.k8s.io", "cm *; httproutes.gateway.networking.k8s.io *");
        check("cm a b", "cm a; cm b");
        check("cm,svc a b", "cm a; cm b; svc a; svc b");
        check("cm/a", "cm a");
        check("cm/a svc/b", "cm a; svc b");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let check = |words: &str, expected: &str| {
            let refused = parsed(words).unwrap_err();
            assert!(refused.starts_with(&format!("[2] error: {expected}")), "{words}: {refused}");
        };
        for (words, wrong) in [("cm/a b", "b"), ("cm a/b", "cm"), ("cm/", "cm/"), ("/a", "/a"), ("cm/a/b", "cm/a/b")] {
            check(words, &format!("{wrong:?} is not KIND/NAME\nhint: "));
        }
        check("cm,", "a kind is empty in \"cm,\"");
        check("", "a kind is empty in \"\"");
        check("cm  b", "a name is empty");
    }
}
