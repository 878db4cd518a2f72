//! Asks a server for the types of its services (grpc/reflection/v1/reflection.proto).
//!
//! Requests go in batches, one call a batch: first the files of the services, then those that the files so far import
//! and nobody has sent, until nothing is missing. A server that does not know version 1 is asked for `v1alpha`, whose
//! messages are the same. What it sends is bounded in files, bytes and time, and is read as a whole at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorProto;
use purlin_load_model::plan::{Plan, Protocol};
use tokio::time::timeout;

use super::session::{Answer, Session};
use super::{messages, options};
use crate::connect::Dialer;
use crate::{Error, encode, guard};

const VERSIONS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// How many questions one call asks.
const BATCH: usize = 100;
/// How long a chain of files may be in which each imports the next.
const MAX_DEPTH: usize = 100;
/// How many files a server may send.
const MAX_FILES: usize = 2000;
/// How large one answer may be, and all files together. What is read of them can take a hundred times as much.
const MAX_BYTES: usize = 8 << 20;
/// How many services of a server are named.
const MAX_NAMED: usize = 30;
/// How much of what a server says about itself is shown.
const MAX_REASON: usize = 2000;
/// How long all of it may take, where a request may not take longer.
const PATIENCE: Duration = Duration::from_secs(10);

const NOT_FOUND: i32 = 5;
const UNIMPLEMENTED: u16 = 12;

/// A question (`ServerReflectionRequest`).
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(oneof = "Ask", tags = "3, 4, 7")]
    ask: Option<Ask>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Ask {
    #[prost(string, tag = "3")]
    FileByName(String),
    #[prost(string, tag = "4")]
    FileContainingSymbol(String),
    #[prost(string, tag = "7")]
    ListServices(String),
}

/// An answer (`ServerReflectionResponse`), as far as it is asked for.
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(oneof = "Reply", tags = "4, 6, 7")]
    reply: Option<Reply>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Reply {
    #[prost(message, tag = "4")]
    Files(FileSet),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Error(Failure),
}

/// Files as they came. Both `FileDescriptorResponse` and `FileDescriptorSet` have them in field 1.
#[derive(Clone, PartialEq, prost::Message)]
struct FileSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<Service>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Failure {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Asks the target of `plan` for the files that hold the services `symbols`, and all that those import. Returns a
/// serialized `FileDescriptorSet`.
///
/// The metadata of the plan's first call, as far as they have no variables, go with it: a server that asks for a token
/// asks here too. `allowed` are far hosts that may be loaded.
pub async fn reflect(plan: &Plan, allowed: &[String], symbols: &[&str]) -> Result<Vec<u8>, Error> {
    let dialer = Dialer::new(&plan.target, Protocol::Grpc, &plan.tls, plan.timeout).await?;
    guard::check(&plan.target.host, dialer.addresses(), allowed)?;
    let failed = |reason: String| Error::Reflection {
        authority: plan.target.authority.clone(),
        // Parts of it are the server's words, which are not to steer a terminal.
        reason: reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect(),
    };
    let limit = PATIENCE.max(plan.timeout);
    let asking = async {
        let mut reflector = Reflector { session: Session::open(&dialer).await?, plan, limit, version: 0 };
        reflector.files(symbols).await
    };
    let asked = timeout(limit, asking).await;
    asked.unwrap_or_else(|_| Err(format!("it has not answered within {} s", limit.as_secs()))).map_err(failed)
}

struct Reflector<'a> {
    session: Session<'a>,
    plan: &'a Plan,
    /// How long a call may take.
    limit: Duration,
    /// Which of [`VERSIONS`] is spoken.
    version: usize,
}

/// Files by name, as they came.
#[derive(Default)]
struct Files {
    known: BTreeMap<String, Vec<u8>>,
    /// What is imported, and by whom.
    imports: BTreeMap<String, String>,
    bytes: usize,
}

impl Reflector<'_> {
    async fn files(&mut self, symbols: &[&str]) -> Result<Vec<u8>, String> {
        let mut files = Files::default();
        let asks: Vec<Ask> = symbols.iter().map(|symbol| Ask::FileContainingSymbol((*symbol).to_owned())).collect();
        for (symbol, reply) in symbols.iter().zip(self.ask(&asks).await?) {
            match reply {
                Reply::Files(set) => files.add(set)?,
                Reply::Error(failure) if failure.code == NOT_FOUND => return Err(self.unknown(symbol).await),
                other => return Err(unexpected(symbol, &other)),
            }
        }
        for _ in 0..MAX_DEPTH {
            let missing = files.missing();
            if missing.is_empty() {
                return files.finish();
            }
            let asks: Vec<Ask> = missing.iter().map(|name| Ask::FileByName(name.clone())).collect();
            for (name, reply) in missing.iter().zip(self.ask(&asks).await?) {
                match (reply, well_known(name)) {
                    (Reply::Files(set), _) => files.add(set)?,
                    (_, Some(file)) => files.add(FileSet { files: vec![file] })?,
                    (other, None) => return Err(unexpected(&files.described(name), &other)),
                }
                if !files.known.contains_key(name) {
                    return Err(format!("asked for {}, it sends other files", files.described(name)));
                }
            }
        }
        Err(format!("its files import each other more than {MAX_DEPTH} deep"))
    }

    /// The answers to `asks`, in their order.
    async fn ask(&mut self, asks: &[Ask]) -> Result<Vec<Reply>, String> {
        let mut replies = Vec::with_capacity(asks.len());
        for batch in asks.chunks(BATCH) {
            let mut body = Vec::new();
            for ask in batch {
                let request = Request { ask: Some(ask.clone()) };
                body.extend_from_slice(&messages::frame(&request.encode_to_vec())?);
            }
            let answer = self.call(body.into()).await?;
            let mut rest = answer.body.as_slice();
            for _ in batch {
                let message = messages::first(&mut rest).map_err(|_| "it does not answer all questions".to_owned())?;
                let response = Response::decode(message).map_err(|e| format!("its answer cannot be read: {e}"))?;
                replies.push(response.reply.ok_or("its answer is empty")?);
            }
        }
        Ok(replies)
    }

    async fn call(&mut self, body: Bytes) -> Result<Answer, String> {
        while let Some(version) = VERSIONS.get(self.version) {
            let head = encode::early_call(self.plan, version, self.limit)?;
            let answer = self.session.call(&head, body.clone(), MAX_BYTES).await?;
            match answer.status {
                0 => return Ok(answer),
                UNIMPLEMENTED => self.version += 1,
                status => return Err(format!("it refuses reflection with status {status}: {}", answer.reason)),
            }
        }
        Err("it has no reflection: name the files of its types with --proto, or let it register \
             grpc.reflection.v1.ServerReflection"
            .to_owned())
    }

    /// Says that there is no `symbol`, and what there is.
    async fn unknown(&mut self, symbol: &str) -> String {
        let listed = self.ask(&[Ask::ListServices(String::new())]).await;
        let Ok([Reply::Services(known)]) = listed.as_deref() else { return format!("it has no service {symbol}") };
        let names = known.services.iter().map(|service| service.name.as_str());
        let mut named: Vec<&str> = names.filter(|name| !name.starts_with("grpc.reflection.")).collect();
        named.sort_unstable();
        let more = if named.len() > MAX_NAMED { ", and more" } else { "" };
        named.truncate(MAX_NAMED);
        match named.is_empty() {
            true => format!("it has no service {symbol}, and lists none"),
            false => format!("it has no service {symbol}; it has: {}{more}", named.join(", ")),
        }
    }
}

impl Files {
    fn add(&mut self, set: FileSet) -> Result<(), String> {
        for file in set.files {
            let read = FileDescriptorProto::decode(file.as_slice());
            let read = read.map_err(|e| format!("a file of its types cannot be read: {e}"))?;
            if options::are_too_deep(&read) {
                return Err(format!("an option in its file {} is nested too deeply", read.name()));
            }
            if self.known.contains_key(read.name()) {
                continue;
            }
            self.bytes += file.len();
            for import in &read.dependency {
                self.imports.entry(import.clone()).or_insert_with(|| read.name().to_owned());
            }
            if self.known.len().max(self.imports.len()) >= MAX_FILES || self.bytes > MAX_BYTES {
                return Err(format!("its types are in more than {MAX_FILES} files or {} MiB", MAX_BYTES >> 20));
            }
            self.known.insert(read.name().to_owned(), file);
        }
        Ok(())
    }

    /// What is imported and has not come.
    fn missing(&self) -> Vec<String> {
        self.imports.keys().filter(|name| !self.known.contains_key(*name)).cloned().collect()
    }

    /// A file that is missing, and why it is needed.
    fn described(&self, name: &str) -> String {
        self.imports.get(name).map_or_else(|| name.to_owned(), |by| format!("{name}, which {by} imports"))
    }

    fn finish(self) -> Result<Vec<u8>, String> {
        let set = FileSet { files: self.known.into_values().collect() }.encode_to_vec();
        // Read here, where it can be said whose they are.
        DescriptorPool::decode(set.as_slice()).map_err(|e| format!("its types cannot be read: {e:?}"))?;
        Ok(set)
    }
}

/// Files that come with protobuf itself, which some servers do not send.
fn well_known(name: &str) -> Option<Vec<u8>> {
    let file = DescriptorPool::global().get_file_by_name(name).filter(|_| name.starts_with("google/protobuf/"))?;
    Some(file.encode_to_vec())
}

fn unexpected(name: &str, reply: &Reply) -> String {
    match reply {
        Reply::Error(Failure { code, message }) => {
            format!("asked for {name}, it answers with error {code}: {message}")
        }
        Reply::Files(_) | Reply::Services(_) => format!("asked for {name}, it answers something else"),
    }
}
