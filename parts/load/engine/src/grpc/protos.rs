//! Compiles `.proto` files, for servers that cannot be asked for their types.
//!
//! As with protoc, a file has a name below one of the directories that imports are looked for in. The directories of
//! the files themselves are looked at last, so that files which lie together need no option.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protox::file::{File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use protox::{Compiler, Error as Wrong};

use super::options;
use crate::Error;

/// How large a file may be.
const MAX_FILE: u64 = 4 << 20;
/// How many files are read, imports included.
const MAX_FILES: usize = 1000;
/// The stack on which files are compiled: the library recurses with large frames where each imports the next.
const LARGE_STACK: usize = 64 << 20;

/// Compiles `files` and what they import to a serialized `FileDescriptorSet`. Imports are looked for in `include`,
/// then beside the files.
pub fn compile_protos(files: &[PathBuf], include: &[PathBuf]) -> Result<Vec<u8>, Error> {
    let mut directories = include.to_vec();
    for file in files {
        fs::metadata(file).map_err(|e| Error::Protos(format!("{}: {e}", file.display())))?;
        directories.push(file.parent().unwrap_or(Path::new("")).to_owned());
    }
    let mut compiler = Compiler::with_file_resolver(Resolver { directories, read: Cell::new(0) });
    compiler.include_imports(true);
    for file in files {
        let opened = stacker::grow(LARGE_STACK, || compiler.open_file(file).map(drop));
        opened.map_err(|error| Error::Protos(text(&error)))?;
    }
    Ok(compiler.encode_file_descriptor_set())
}

/// The error with file, line and column, which the library tells to its developers only.
fn text(error: &Wrong) -> String {
    let Some(file) = error.file() else { return error.to_string() };
    match format!("{error:?}") {
        placed if placed.starts_with(file) => placed,
        other => format!("{file}: {other}"),
    }
}

/// Finds files in directories, and bounds what is read.
struct Resolver {
    directories: Vec<PathBuf>,
    read: Cell<usize>,
}

impl FileResolver for Resolver {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        self.directories.iter().find_map(|directory| IncludeFileResolver::new(directory.clone()).resolve_path(path))
    }

    fn open_file(&self, name: &str) -> Result<File, Wrong> {
        for directory in &self.directories {
            let path = directory.join(name);
            let length = match fs::metadata(&path) {
                Ok(found) if found.is_file() => found.len(),
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Wrong::new(format!("{}: {e}", path.display())));
                }
                _ => continue,
            };
            self.read.set(self.read.get() + 1);
            if length > MAX_FILE || self.read.get() > MAX_FILES {
                let limits = format!("{MAX_FILES} files of {} MiB are read at most", MAX_FILE >> 20);
                return Err(Wrong::new(format!("{}: {limits}", path.display())));
            }
            let file = File::open(name, &path)?;
            return match options::are_too_deep(file.file_descriptor_proto()) {
                true => Err(Wrong::new(format!("{}: an option is nested too deeply", path.display()))),
                false => Ok(file),
            };
        }
        GoogleFileResolver::new().open_file(name)
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    /// Compiles `files`, by name and text, of which the first is asked for.
    fn compile(files: &[(&str, &str)], include: &[&str]) -> Result<DescriptorPool, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let include: Vec<PathBuf> = include.iter().map(|include| directory.path().join(include)).collect();
        let asked: Vec<PathBuf> = files.iter().take(1).map(|(name, _)| directory.path().join(name)).collect();
        let compiled = compile_protos(&asked, &include).map_err(|e| e.to_string().replace("cannot compile ", ""))?;
        Ok(DescriptorPool::decode(compiled.as_slice()).unwrap())
    }

    const SERVICE: &str =
        "syntax = \"proto3\"; package shop; import \"item.proto\"; import \"google/protobuf/empty.proto\";
        service Shop { rpc List(google.protobuf.Empty) returns (stream Item); }";
    const ITEM: &str = "syntax = \"proto3\"; package shop; message Item { string id = 1; }";

    #[test]
    fn services_come_with_what_they_import() {
        let pool = compile(&[("shop.proto", SERVICE), ("item.proto", ITEM)], &[]).unwrap();
        let method = pool.get_service_by_name("shop.Shop").unwrap().methods().next().unwrap();
        assert_eq!((method.name(), method.is_server_streaming()), ("List", true));
        assert_eq!(method.output().full_name(), "shop.Item");
        assert_eq!(method.input().full_name(), "google.protobuf.Empty");
        assert!(compile(&[("a/shop.proto", SERVICE), ("b/item.proto", ITEM)], &["b"]).is_ok());
        // By the name that it has below the directory.
        let deep = SERVICE.replace("item.proto", "shop/item.proto");
        assert!(compile(&[("api/shop/shop.proto", &deep), ("api/shop/item.proto", ITEM)], &["api"]).is_ok());
        assert!(compile(&[("empty.proto", "")], &[]).is_ok());
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let check = |text: &str, expected: &str| {
            let failed = compile(&[("a/b.proto", text)], &[""]).unwrap_err();
            assert!(failed.contains(expected), "{text}: {failed}");
        };
        check("syntax = \"proto3\";\nmessage A {\n  strin a = 1;\n}", "a/b.proto:3:3: ");
        check("syntax = \"proto3\";\nmessage A {\n  string a 1;\n}", "a/b.proto:3:12: expected");
        check("syntax = \"proto3\";\nmessage A { string a = 1;\n  string b = 1; }", "a/b.proto:3:14: ");
        check("syntax = \"proto3\";\n  import \"nowhere.proto\";", "a/b.proto:2:3: import 'nowhere.proto' not found");
        check("import \"a/b.proto\";", "import cycle detected: a/b.proto -> a/b.proto");
        check("\nimport \"../c.proto\";", "a/b.proto:2:8: ");
        check("import \"/etc/passwd\";", "a/b.proto:1:8: ");
        check("message A {", "a/b.proto: expected a message field");
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let failed = compile_protos(&["/no/such/file.proto".into()], &[]).unwrap_err().to_string();
        assert!(failed.contains("/no/such/file.proto: No such file"), "{failed}");
        let shadowed = compile(&[("b/x.proto", ITEM), ("x.proto", "")], &["", "b"]);
        assert!(shadowed.is_ok(), "{shadowed:?}");
        let shadowed = compile(&[("b/x.proto", ITEM), ("a/x.proto", "")], &["a"]).unwrap_err();
        assert!(shadowed.contains("is shadowed by"), "{shadowed}");
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let check = |text: &str, expected: &str| {
            let failed = compile(&[("a.proto", text)], &[]).unwrap_err();
            assert!(failed.contains(expected), "{failed}");
        };
        check(&" ".repeat(MAX_FILE as usize + 1), "files of 4 MiB are read at most");
        check(&format!("message A {{{}", "message A {".repeat(100_000)), "a.proto:1:");
        let option = format!("option (x) = {{ {} {} }};", "a {".repeat(100_000), "}".repeat(100_000));
        check(&option, "an option is nested too deeply");
        let files: Vec<(String, String)> =
            (0..=MAX_FILES).map(|n| (format!("{n}.proto"), format!("import \"{}.proto\";", n + 1))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let failed = compile(&files, &[]).unwrap_err();
        assert!(failed.contains("1000 files"), "{failed}");
    }
}
