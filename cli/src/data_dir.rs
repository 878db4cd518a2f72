//! Where the platform keeps its data: `--data-dir`, else `PURLIN_DATA_DIR`, else `$XDG_DATA_HOME/purlin`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The variable that names the data directory.
pub(crate) const VARIABLE: &str = "PURLIN_DATA_DIR";

/// The data directory that the command line and the environment choose, absolute.
pub(crate) fn resolve(option: Option<&Path>) -> Result<PathBuf, Failure> {
    let chosen = choose(option, |name| std::env::var_os(name)).ok_or_else(|| {
        Failure::usage("there is no data directory: neither HOME nor XDG_DATA_HOME is set")
            .hint(format!("choose one with --data-dir or {VARIABLE}"))
    })?;
    std::path::absolute(&chosen)
        .map_err(|e| Failure::from(e).context(format!("cannot use the data directory {}", chosen.display())))
}

/// As [`resolve`], in an environment that is given. Empty variables count as unset (XDG base directory specification,
/// as does a relative `XDG_DATA_HOME`).
fn choose(option: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let xdg = || set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let home = || set("HOME").map(|home| home.join(".local/share"));
    option.map(Path::to_owned).or_else(|| set(VARIABLE)).or_else(|| xdg().or_else(home).map(|data| data.join("purlin")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_is_chosen_in_order() {
        let check = |option: Option<&str>, environment: &[(&str, &str)], expected: Option<&str>| {
            let variable =
                |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
            assert_eq!(
                choose(option.map(Path::new), variable),
                expected.map(PathBuf::from),
                "{option:?} {environment:?}"
            );
        };
        let all = [("PURLIN_DATA_DIR", "/p"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        check(Some("d"), &all, Some("d"));
        check(None, &all, Some("/p"));
        check(None, &all[1..], Some("/x/purlin"));
        check(None, &all[2..], Some("/h/.local/share/purlin"));
        check(
            None,
            &[("PURLIN_DATA_DIR", ""), ("XDG_DATA_HOME", "relative"), ("HOME", "/h")],
            Some("/h/.local/share/purlin"),
        );
        check(None, &[("HOME", "")], None);
        check(None, &[], None);
    }
}
