//! gRPC over HTTP/2: messages from JSON, frames, status codes.
//!
//! The types come as a `FileDescriptorSet` with the plan; a message is written as protobuf's JSON form and encoded by
//! it, so no code is generated for anybody's service.

use base64::Engine as _;
use bytes::Bytes;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};

/// The status of an error that says nothing more (gRPC status codes).
pub(crate) const UNKNOWN: u16 = 2;
/// The largest message that is sent.
const MAX_MESSAGE: usize = 64 << 20;

/// The methods of a plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Methods(DescriptorPool);

impl Methods {
    /// Reads a `FileDescriptorSet` in base64.
    pub(crate) fn decode(descriptors: &str) -> Result<Methods, String> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(descriptors).map_err(|e| e.to_string())?;
        DescriptorPool::decode(bytes.as_slice()).map(Methods).map_err(|e| format!("its types cannot be read: {e}"))
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

/// A message in protobuf's JSON form, encoded and framed (gRPC over HTTP/2, Length-Prefixed-Message).
pub(crate) fn encode(method: &MethodDescriptor, json: &[u8]) -> Result<Bytes, String> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(method.input(), &mut reader);
    let message = message.and_then(|message| reader.end().map(|()| message));
    let message = message.map_err(|e| format!("the message is no {}: {e}", method.input().full_name()))?;
    frame(&message.encode_to_vec())
}

/// A message with its prefix: not compressed, and its length.
pub(crate) fn frame(message: &[u8]) -> Result<Bytes, String> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MAX_MESSAGE);
    let length = length.ok_or_else(|| format!("a message has {MAX_MESSAGE} bytes at most"))?;
    let mut framed = Vec::with_capacity(message.len() + 5);
    framed.push(0);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    Ok(framed.into())
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
