//! cli -> parts -> base -> proto, and no part uses another.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::{files, none, read};

/// The rooms, each may use those before it.
const ROOMS: [&str; 6] = ["proto", "base", "parts", "cli", "tests", "bench"];

/// The room of a crate in `folder`, by its place among the rooms, and its part if it is of one.
fn room(folder: &str) -> Option<(usize, Option<&str>)> {
    let mut names = folder.split('/');
    let room = names.next()?;
    let place = ROOMS.iter().position(|known| *known == room)?;
    Some((place, names.next().filter(|_| room == "parts")))
}

/// Whether a crate in the folder `user` may depend on one in the folder `used`.
fn may_use(user: &str, used: &str) -> bool {
    let (Some((user, user_part)), Some((used, used_part))) = (room(user), room(used)) else { return false };
    used < user || (used == user && user_part == used_part)
}

/// The lines of a manifest's tables of dependencies.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut within = false;
    let mut lines = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            within = table.trim_end_matches(']').ends_with("dependencies");
        } else if within && !line.is_empty() && !line.starts_with('#') {
            lines.push(line);
        }
    }
    lines
}

#[test]
fn rooms_use_only_what_is_below_them() -> anyhow::Result<()> {
    let mut manifests = BTreeMap::new();
    for path in files()? {
        if let Some(folder) = path.strip_suffix("/Cargo.toml") {
            let text = read(&path)?;
            let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
            let name = name.with_context(|| format!("{path} has no name"))?.to_owned();
            manifests.insert(name, (folder.to_owned(), text));
        }
    }
    let mut findings = Vec::new();
    for (name, (folder, text)) in &manifests {
        if room(folder).is_none() {
            findings.push(format!("{folder} is in no room"));
        }
        for line in dependencies(text) {
            let Some(used) = line.strip_suffix(".workspace = true") else {
                findings.push(format!("{folder}: `{line}`: versions and features stand in the root's Cargo.toml only"));
                continue;
            };
            if let Some((used_folder, _)) = manifests.get(used).filter(|(used, _)| !may_use(folder, used)) {
                findings.push(format!("{name} must not use {used}: {folder} -> {used_folder}"));
            }
        }
    }
    anyhow::ensure!(manifests.len() > 15, "only {} crates were found", manifests.len());
    none(&findings)
}

#[test]
fn a_part_uses_no_other() {
    assert!(may_use("parts/a/x", "parts/a/y") && !may_use("parts/a/x", "parts/b/x"));
    assert!(may_use("parts/a/x", "base/net") && !may_use("base/net", "parts/a/x"));
    assert!(may_use("base/a", "base/b") && may_use("cli", "parts/a/x") && may_use("tests", "cli"));
    assert!(!may_use("cli", "tests") && !may_use("proto/a", "base/a") && !may_use("attic/a", "proto/a"));
    let manifest =
        "[package]\nname = \"a\"\n[dependencies]\n# why\nb.workspace = true\n\n[dev-dependencies]\nc = \"1\"\n";
    assert_eq!(dependencies(manifest), ["b.workspace = true", "c = \"1\""]);
}
