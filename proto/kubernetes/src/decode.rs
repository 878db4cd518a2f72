//! From a body to JSON, guided by the descriptors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::table::{Field, Message, Shape, Table, Type};
use crate::wire::{Reader, Wire};
use crate::{CONTENT_TYPE, DecodeError};

/// How deeply messages may be nested.
pub const MAX_DEPTH: usize = 100;

/// How many values a body may hold: an empty message of two bytes can become a JSON object with several fields.
pub const MAX_VALUES: usize = 250_000;

/// Decodes a body into the JSON of its object, `apiVersion` and `kind` first.
pub fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let envelope = Envelope::read(body.strip_prefix(b"k8s\0").ok_or(DecodeError::Magic)?)?;
    let Some(message) = Table::get().kind(&envelope.api_version, &envelope.kind) else {
        return Err(DecodeError::UnknownKind { api_version: envelope.api_version, kind: envelope.kind });
    };
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), Value::String(envelope.api_version));
    object.insert("kind".to_owned(), Value::String(envelope.kind));
    let mut decoder = Decoder { table: Table::get(), values: 0 };
    decoder.message(message, envelope.raw, 0, &mut object)?;
    Ok(Value::Object(object))
}

/// `runtime.Unknown`.
struct Envelope<'a> {
    api_version: String,
    kind: String,
    raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Envelope { api_version: String::new(), kind: String::new(), raw: &[] };
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => envelope.type_meta(bytes_of(wire, "Unknown.typeMeta")?)?,
                2 => envelope.raw = bytes_of(wire, "Unknown.raw")?,
                3 => match text(wire, "Unknown.contentEncoding")? {
                    "" => {}
                    other => return Err(DecodeError::Encoding(other.to_owned())),
                },
                4 => match text(wire, "Unknown.contentType")? {
                    "" | CONTENT_TYPE => {}
                    other => return Err(DecodeError::Encoding(other.to_owned())),
                },
                _ => {}
            }
        }
        Ok(envelope)
    }

    fn type_meta(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.field()? {
            match number {
                1 => self.api_version = text(wire, "TypeMeta.apiVersion")?.to_owned(),
                2 => self.kind = text(wire, "TypeMeta.kind")?.to_owned(),
                _ => {}
            }
        }
        Ok(())
    }
}

struct Decoder {
    table: &'static Table,
    values: usize,
}

impl Decoder {
    /// Decodes a message's fields into `out`, in the order of the descriptor.
    fn message(
        &mut self,
        message: &Message,
        bytes: &[u8],
        depth: usize,
        out: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let mut found: Vec<Vec<Wire<'_>>> = vec![Vec::new(); message.fields.len()];
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.field()? {
            let index = message.fields.iter().position(|field| field.number == number);
            if let Some(wires) = index.and_then(|index| found.get_mut(index)) {
                wires.push(wire);
            }
        }
        for (field, wires) in message.fields.iter().zip(found) {
            let place = Place { message: message.name, field: field.name.unwrap_or("(embedded)") };
            match (field.name, field.ty) {
                (None, Type::Message(inner)) => {
                    let bytes = joined(&wires, place)?;
                    self.message(self.table.message(inner), &bytes, depth + 1, out)?;
                }
                (name, _) => {
                    if let Some(value) = self.field(field, &wires, depth, place)? {
                        self.count()?;
                        out.insert(name.unwrap_or_default().to_owned(), value);
                    }
                }
            }
        }
        Ok(())
    }

    /// A field's JSON; none where Go would leave it out.
    fn field(
        &mut self,
        field: &Field,
        wires: &[Wire<'_>],
        depth: usize,
        place: Place,
    ) -> Result<Option<Value>, DecodeError> {
        Ok(match field.shape {
            Shape::Plain if wires.is_empty() && !field.keep_zero => None,
            Shape::Plain => {
                let value = self.single(field.ty, wires, depth, place)?;
                (field.keep_zero || !is_zero(&value)).then_some(value).filter(|value| !value.is_null())
            }
            Shape::Pointer if wires.is_empty() => None,
            Shape::Pointer => Some(self.single(field.ty, wires, depth, place)?).filter(|value| !value.is_null()),
            Shape::List => {
                let items = self.list(field.ty, wires, depth, place)?;
                (!items.is_empty()).then_some(Value::Array(items))
            }
            Shape::Map => {
                let entries = self.map(field.ty, wires, depth, place)?;
                (!entries.is_empty()).then_some(Value::Object(entries))
            }
        })
    }

    /// A value that occurs once; of scalars the last counts, messages are merged, as protobuf demands.
    fn single(&mut self, ty: Type, wires: &[Wire<'_>], depth: usize, place: Place) -> Result<Value, DecodeError> {
        match (scalar(ty), wires.last()) {
            (Some(read), Some(wire)) => read(*wire, place),
            (Some(_), None) => Ok(zero(ty)),
            (None, _) => self.nested(ty, &joined(wires, place)?, depth, place),
        }
    }

    fn list(&mut self, ty: Type, wires: &[Wire<'_>], depth: usize, place: Place) -> Result<Vec<Value>, DecodeError> {
        let mut items = Vec::new();
        for wire in wires {
            match (wire, ty) {
                (Wire::Bytes(packed), Type::Bool | Type::Int32 | Type::Int64 | Type::Double) => {
                    let mut reader = Reader::new(packed);
                    while !reader.is_empty() {
                        let wire = match ty {
                            Type::Double => Wire::Fixed64(reader.fixed64()?),
                            _ => Wire::Varint(reader.varint()?),
                        };
                        self.count()?;
                        items.push(self.single(ty, &[wire], depth, place)?);
                    }
                }
                _ => {
                    self.count()?;
                    items.push(self.single(ty, &[*wire], depth, place)?);
                }
            }
        }
        Ok(items)
    }

    fn map(
        &mut self,
        ty: Type,
        wires: &[Wire<'_>],
        depth: usize,
        place: Place,
    ) -> Result<Map<String, Value>, DecodeError> {
        let mut entries = Map::new();
        for wire in wires {
            let (mut key, mut value) = ("", Vec::new());
            let mut reader = Reader::new(bytes_of(*wire, place)?);
            while let Some((number, wire)) = reader.field()? {
                match number {
                    1 => key = text(wire, place)?,
                    2 => value.push(wire),
                    _ => {}
                }
            }
            self.count()?;
            entries.insert(key.to_owned(), self.single(ty, &value, depth, place)?);
        }
        Ok(entries)
    }

    /// A value that is a message on the wire.
    fn nested(&mut self, ty: Type, bytes: &[u8], depth: usize, place: Place) -> Result<Value, DecodeError> {
        match ty {
            Type::Message(index) => {
                let message = self.table.message(index);
                let mut map = Map::new();
                self.message(message, bytes, depth + 1, &mut map)?;
                if message.union {
                    return Ok(map.into_iter().next().map_or(Value::Null, |(_, value)| value));
                }
                Ok(Value::Object(map))
            }
            Type::Time | Type::MicroTime => time(ty, bytes, place),
            Type::IntOrString => int_or_string(bytes, place),
            Type::Quantity => Ok(Value::from(match texts(bytes, place)?.last() {
                None | Some(&"") => "0",
                Some(text) => text,
            })),
            Type::Strings => {
                let texts = texts(bytes, place)?;
                for _ in &texts {
                    self.count()?;
                }
                Ok(if texts.is_empty() { Value::Null } else { Value::from(texts) })
            }
            _ => json(bytes, place),
        }
    }

    fn count(&mut self) -> Result<(), DecodeError> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(DecodeError::TooMany) } else { Ok(()) }
    }
}

/// Where a value stands, for messages of errors.
#[derive(Clone, Copy)]
struct Place {
    message: &'static str,
    field: &'static str,
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        format!("{}.{}", place.message, place.field)
    }
}

type ReadScalar = fn(Wire<'_>, Place) -> Result<Value, DecodeError>;

/// How a scalar is read; none for what is a message on the wire.
fn scalar(ty: Type) -> Option<ReadScalar> {
    Some(match ty {
        Type::Bool => |wire, place| Ok(Value::Bool(varint(wire, place)? != 0)),
        Type::Int32 => |wire, place| Ok(Value::from(low_i32(varint(wire, place)?))),
        Type::Int64 => |wire, place| Ok(Value::from(varint(wire, place)?.cast_signed())),
        Type::Double => |wire, place| match wire {
            Wire::Fixed64(bits) => serde_json::Number::from_f64(f64::from_bits(bits))
                .map(Value::Number)
                .ok_or_else(|| DecodeError::malformed(place, "a number must be finite")),
            _ => Err(wrong_wire(place)),
        },
        Type::String => |wire, place| Ok(Value::from(text(wire, place)?)),
        Type::Bytes => |wire, place| Ok(Value::from(STANDARD.encode(bytes_of(wire, place)?))),
        _ => return None,
    })
}

fn zero(ty: Type) -> Value {
    match ty {
        Type::Bool => Value::Bool(false),
        Type::String => Value::from(""),
        Type::Int32 | Type::Int64 => Value::from(0),
        Type::Double => Value::from(0.0),
        // A nil slice of bytes, and messages, which are never asked for here.
        _ => Value::Null,
    }
}

/// Whether `omitempty` leaves this value out.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// The low half, as Go's `int32(v)`: negative numbers are sent with ten bytes.
fn low_i32(value: u64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// `seconds = 1`, `nanos = 2`; an empty message is the zero time, which JSON shows as `null`.
fn time(ty: Type, bytes: &[u8], place: Place) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => seconds = varint(wire, place)?.cast_signed(),
            2 => nanos = low_i32(varint(wire, place)?),
            _ => {}
        }
    }
    let nanos = if ty == Type::Time { 0 } else { nanos };
    let time = Timestamp::new(seconds, nanos)
        .ok()
        .filter(|time| (0..=9999).contains(&time.to_zoned(jiff::tz::TimeZone::UTC).year()))
        .ok_or_else(|| {
            DecodeError::malformed(place, format!("{seconds} seconds are not a time of the years 0 to 9999"))
        })?;
    let format = if ty == Type::Time { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
    Ok(Value::from(time.strftime(format).to_string()))
}

/// `type = 1` (0: number, 1: string), `intVal = 2`, `strVal = 3`.
fn int_or_string(bytes: &[u8], place: Place) -> Result<Value, DecodeError> {
    let (mut ty, mut int, mut string) = (0, 0, "");
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => ty = varint(wire, place)?,
            2 => int = low_i32(varint(wire, place)?),
            3 => string = text(wire, place)?,
            _ => {}
        }
    }
    match ty {
        0 => Ok(Value::from(int)),
        1 => Ok(Value::from(string)),
        other => Err(DecodeError::malformed(place, format!("type {other} is neither a number nor a string"))),
    }
}

/// JSON in field 1.
fn json(bytes: &[u8], place: Place) -> Result<Value, DecodeError> {
    let mut raw: &[u8] = &[];
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        if number == 1 {
            raw = bytes_of(wire, place)?;
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(raw).map_err(|error| DecodeError::malformed(place, format!("not JSON: {error}")))
}

/// All strings of field 1.
fn texts(bytes: &[u8], place: Place) -> Result<Vec<&str>, DecodeError> {
    let mut texts = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.field()? {
        if number == 1 {
            texts.push(text(wire, place)?);
        }
    }
    Ok(texts)
}

/// A message that came in several pieces is their concatenation.
fn joined<'a>(wires: &[Wire<'a>], place: Place) -> Result<std::borrow::Cow<'a, [u8]>, DecodeError> {
    match wires {
        [] => Ok((&[]).into()),
        [wire] => Ok(bytes_of(*wire, place)?.into()),
        _ => wires
            .iter()
            .try_fold(Vec::new(), |mut all, wire| {
                all.extend_from_slice(bytes_of(*wire, place)?);
                Ok(all)
            })
            .map(Into::into),
    }
}

fn varint(wire: Wire<'_>, place: impl Into<String>) -> Result<u64, DecodeError> {
    match wire {
        Wire::Varint(value) => Ok(value),
        _ => Err(wrong_wire(place)),
    }
}

fn bytes_of(wire: Wire<'_>, place: impl Into<String>) -> Result<&[u8], DecodeError> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        _ => Err(wrong_wire(place)),
    }
}

fn text(wire: Wire<'_>, place: impl Into<String>) -> Result<&str, DecodeError> {
    match wire {
        Wire::Bytes(bytes) => {
            std::str::from_utf8(bytes).map_err(|_| DecodeError::malformed(place, "a string must be UTF-8"))
        }
        _ => Err(wrong_wire(place)),
    }
}

fn wrong_wire(place: impl Into<String>) -> DecodeError {
    DecodeError::malformed(place, "sent with the wire type of another type")
}
