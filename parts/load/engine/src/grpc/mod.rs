//! gRPC over HTTP/2: messages from JSON and to JSON, frames, metadata, status codes, and where the types come from.
//!
//! The types come as a `FileDescriptorSet` with the plan: the server is asked for it before the load (reflection.rs,
//! over session.rs), or it is compiled from `.proto` files (protos.rs). A message is written as protobuf's JSON form and
//! encoded by its type, so no code is generated for anybody's service. While answers come, their frames are followed
//! (messages.rs); an answer is decoded only where a step looks at it.

pub(crate) mod messages;
pub(crate) mod metadata;
mod options;
mod protos;
mod reflection;
mod session;

use base64::Engine as _;
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};

pub use protos::compile_protos;
pub use reflection::reflect;

/// The status of an error that says nothing more (gRPC status codes).
pub(crate) const UNKNOWN: u16 = 2;

/// The methods of a plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Methods(DescriptorPool);

impl Methods {
    /// Reads a `FileDescriptorSet` in base64.
    pub(crate) fn decode(descriptors: &str) -> Result<Methods, String> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(descriptors).map_err(|e| e.to_string())?;
        DescriptorPool::decode(bytes.as_slice()).map(Methods).map_err(|e| e.to_string())
    }

    /// The method with the path `/package.Service/Method`.
    pub(crate) fn find(&self, path: &str) -> Result<MethodDescriptor, String> {
        let (service, method) = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .ok_or_else(|| format!("{path:?} is no method: it must be /package.Service/Method"))?;
        let found = self.0.get_service_by_name(service).ok_or_else(|| {
            let known: Vec<String> = self.0.services().map(|service| service.full_name().to_owned()).collect();
            format!("there is no service {service}; known are: {}", known.join(", "))
        })?;
        let method = found.methods().find(|known| known.name() == method).ok_or_else(|| {
            let known: Vec<String> = found.methods().map(|method| method.name().to_owned()).collect();
            format!("{service} has no method {method}; it has: {}", known.join(", "))
        })?;
        match method.is_client_streaming() {
            true => Err(format!("{path} takes a stream of messages; unary calls and server streams can be sent")),
            false => Ok(method),
        }
    }
}

/// A message in protobuf's JSON form, encoded and framed.
pub(crate) fn encode(method: &MethodDescriptor, json: &[u8]) -> Result<Bytes, String> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(method.input(), &mut reader);
    let message = message.and_then(|message| reader.end().map(|()| message));
    let message = message.map_err(|e| format!("the message is no {}: {e}", method.input().full_name()))?;
    messages::frame(&message.encode_to_vec())
}

/// The first message of an answer in protobuf's JSON form, without spaces and with the fields that have their default,
/// so that a 0 can be found. `None` when there is no such message.
pub(crate) fn json(kind: &MessageDescriptor, mut body: &[u8]) -> Option<Vec<u8>> {
    let message = messages::first(&mut body).ok()?;
    let message = DynamicMessage::decode(kind.clone(), message).ok()?;
    let mut json = Vec::new();
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options).ok()?;
    Some(json)
}

/// The gRPC status of an answer that has none, by its HTTP status (http-grpc-status-mapping.md).
pub(crate) fn status_of_http(status: u16) -> u16 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => UNKNOWN,
    }
}
