//! Formats of the access log, with Envoy's command operators.
//!
//! `%NAME%`, `%NAME(ARGUMENT)%`, `%NAME(ARGUMENT):LENGTH%`; `%%` is a per cent sign. A format is read once; a command that
//! is not known is an error. What a request does not have is `-`, and `null` where a member of a JSON object has no other
//! content; a member that is one number is one in JSON. In text, quotes, backslashes and control characters of values are
//! escaped (`\x22`), so that no client can end a field or a line.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::HeaderName;
use purlin_traffic::model::AccessLogFormat;

/// Longest value that is written.
const MAX_VALUE: usize = 4096;
/// Longest format.
const MAX_FORMAT: usize = 16 << 10;

/// What a command stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the commands")]
pub enum Field {
    /// With a format of strftime, or RFC 3339.
    StartTime(Option<Box<str>>),
    Duration,
    BytesSent,
    BytesReceived,
    Protocol,
    ResponseCode,
    ResponseCodeDetails,
    ResponseFlags,
    RouteName,
    UpstreamHost,
    RemoteAddress,
    RemoteAddressWithoutPort,
    DirectRemoteAddress,
    DirectRemoteAddressWithoutPort,
    LocalAddress,
    LocalAddressWithoutPort,
    LocalPort,
    RequestedServerName,
    TraceId,
    Method,
    Path,
    Authority,
    Scheme,
    /// An index into [`LogFormat::request_headers`].
    RequestHeader(usize),
    /// An index into [`LogFormat::response_headers`].
    ResponseHeader(usize),
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number.
    Number(u64),
    /// Anything else.
    Text(Cow<'a, str>),
}

/// A format, ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFormat {
    shape: Shape,
    /// The headers of requests that it shows.
    pub request_headers: Vec<HeaderName>,
    /// The headers of responses that it shows.
    pub response_headers: Vec<HeaderName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Json(Vec<(String, Vec<Piece>)>),
    Text(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The first of these that has a value, cut to a length.
    Command(Vec<Field>, usize),
}

impl LogFormat {
    /// Reads a format; errors say which command is wrong.
    pub fn compile(format: &AccessLogFormat) -> Result<Self, String> {
        let mut this =
            Self { shape: Shape::Text(Vec::new()), request_headers: Vec::new(), response_headers: Vec::new() };
        this.shape = match format {
            AccessLogFormat::Template(text) => Shape::Text(this.pieces(text)?),
            AccessLogFormat::Json(members) => {
                let mut read = Vec::with_capacity(members.len());
                for (name, text) in members {
                    read.push((quoted(name), this.pieces(text)?));
                }
                Shape::Json(read)
            }
        };
        Ok(this)
    }

    fn pieces(&mut self, text: &str) -> Result<Vec<Piece>, String> {
        if text.len() > MAX_FORMAT {
            return Err(format!("access log: a format is longer than {MAX_FORMAT} bytes"));
        }
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                plain.push('%');
                rest = after;
                continue;
            }
            let (command, after) = command(after).ok_or_else(|| {
                format!("access log: `%{after}` has no end: a command is %NAME%, a per cent sign is %%")
            })?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(self.read(command)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(pieces)
    }

    fn read(&mut self, command: &str) -> Result<Piece, String> {
        let unknown = || format!("access log: %{command}% is not a command that is known here");
        let (name, argument, length) = match command.split_once('(') {
            None => match command.split_once(':') {
                None => (command, None, None),
                Some((name, length)) => (name, None, Some(length)),
            },
            Some((name, rest)) => {
                let (argument, end) = rest.rsplit_once(')').ok_or_else(unknown)?;
                let length = if end.is_empty() { None } else { Some(end.strip_prefix(':').ok_or_else(unknown)?) };
                (name, Some(argument), length)
            }
        };
        let length = match length.map(str::parse::<usize>) {
            None => MAX_VALUE,
            Some(Ok(length)) => length.min(MAX_VALUE),
            Some(Err(_)) => return Err(format!("access log: the length in %{command}% is not a number")),
        };
        let fields = match (name, argument) {
            ("REQ" | "RESP", Some(argument)) => {
                let (first, other) = argument.split_once('?').map_or((argument, None), |(a, b)| (a, Some(b)));
                let names = std::iter::once(first).chain(other);
                names.map(|header| self.header(name == "REQ", header).ok_or_else(unknown)).collect::<Result<_, _>>()?
            }
            ("START_TIME", format) => vec![Field::StartTime(format.filter(|f| !f.is_empty()).map(Into::into))],
            (name, None) => vec![plain_field(name).ok_or_else(unknown)?],
            _ => return Err(unknown()),
        };
        Ok(Piece::Command(fields, length))
    }

    fn header(&mut self, request: bool, name: &str) -> Option<Field> {
        if request && name.starts_with(':') {
            return match name.to_ascii_uppercase().as_str() {
                ":METHOD" => Some(Field::Method),
                ":PATH" => Some(Field::Path),
                ":AUTHORITY" => Some(Field::Authority),
                ":SCHEME" => Some(Field::Scheme),
                _ => None,
            };
        }
        let name: HeaderName = name.parse().ok()?;
        let names = if request { &mut self.request_headers } else { &mut self.response_headers };
        let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        Some(if request { Field::RequestHeader(at) } else { Field::ResponseHeader(at) })
    }

    /// The formats of times in it.
    pub fn time_formats(&self) -> impl Iterator<Item = &str> {
        let lists: Vec<&[Piece]> = match &self.shape {
            Shape::Text(pieces) => vec![pieces],
            Shape::Json(members) => members.iter().map(|(_, pieces)| &**pieces).collect(),
        };
        let fields = lists.into_iter().flatten().flat_map(|piece| match piece {
            Piece::Text(_) => &[],
            Piece::Command(fields, _) => &**fields,
        });
        fields.filter_map(|field| match field {
            Field::StartTime(format) => format.as_deref(),
            _ => None,
        })
    }

    /// A line, its end included.
    pub fn line<'a>(&self, value: impl Fn(&Field) -> Option<Value<'a>>) -> String {
        let mut out = String::with_capacity(512);
        match &self.shape {
            Shape::Text(pieces) => {
                pieces.iter().for_each(|piece| piece.write(&value, &mut out, true));
                if !out.ends_with('\n') {
                    out.push('\n');
                }
            }
            Shape::Json(members) => {
                for (at, (name, pieces)) in members.iter().enumerate() {
                    out.push(if at == 0 { '{' } else { ',' });
                    out.push_str(name);
                    out.push(':');
                    member(pieces, &value, &mut out);
                }
                out.push_str(if members.is_empty() { "{}\n" } else { "}\n" });
            }
        }
        out
    }
}

/// The command at the beginning of a text, and what follows it. An argument may have per cent signs.
fn command(text: &str) -> Option<(&str, &str)> {
    let end = text.find(['%', '('])?;
    let end = if text[end..].starts_with('(') { end + text[end..].find(')')? } else { end };
    let end = end + text[end..].find('%')?;
    Some((&text[..end], &text[end + 1..]))
}

fn plain_field(name: &str) -> Option<Field> {
    Some(match name {
        "DURATION" => Field::Duration,
        "BYTES_SENT" => Field::BytesSent,
        "BYTES_RECEIVED" => Field::BytesReceived,
        "PROTOCOL" => Field::Protocol,
        "RESPONSE_CODE" => Field::ResponseCode,
        "RESPONSE_CODE_DETAILS" => Field::ResponseCodeDetails,
        "RESPONSE_FLAGS" => Field::ResponseFlags,
        "ROUTE_NAME" => Field::RouteName,
        "UPSTREAM_HOST" => Field::UpstreamHost,
        "DOWNSTREAM_REMOTE_ADDRESS" => Field::RemoteAddress,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Field::RemoteAddressWithoutPort,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Field::DirectRemoteAddress,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Field::DirectRemoteAddressWithoutPort,
        "DOWNSTREAM_LOCAL_ADDRESS" => Field::LocalAddress,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Field::LocalAddressWithoutPort,
        "DOWNSTREAM_LOCAL_PORT" => Field::LocalPort,
        "REQUESTED_SERVER_NAME" => Field::RequestedServerName,
        "TRACE_ID" => Field::TraceId,
        _ => return None,
    })
}

impl Piece {
    fn write<'a>(&self, value: &impl Fn(&Field) -> Option<Value<'a>>, out: &mut String, escape: bool) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Command(fields, length) => match fields.iter().find_map(value) {
                None => out.push('-'),
                Some(Value::Number(number)) => drop(write!(out, "{number}")),
                Some(Value::Text(text)) if !escape => out.push_str(cut(&text, *length)),
                Some(Value::Text(text)) => cut(&text, *length).chars().for_each(|c| match c {
                    c if c.is_control() || c == '"' || c == '\\' => drop(write!(out, "\\x{:02x}", u32::from(c))),
                    c => out.push(c),
                }),
            },
        }
    }
}

fn member<'a>(pieces: &[Piece], value: &impl Fn(&Field) -> Option<Value<'a>>, out: &mut String) {
    if let [Piece::Command(fields, length)] = pieces {
        match fields.iter().find_map(value) {
            None => out.push_str("null"),
            Some(Value::Number(number)) => drop(write!(out, "{number}")),
            Some(Value::Text(text)) => out.push_str(&quoted(cut(&text, *length))),
        }
        return;
    }
    let mut text = String::new();
    pieces.iter().for_each(|piece| piece.write(value, &mut text, false));
    out.push_str(&quoted(&text));
}

fn cut(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(format: &LogFormat, field: &Field) -> Option<Value<'static>> {
        Some(match field {
            Field::ResponseCode => Value::Number(200),
            Field::Path => Value::Text("/a\"b?c".into()),
            Field::Method => Value::Text("GET".into()),
            Field::RequestHeader(at) if format.request_headers[*at] == "user-agent" => Value::Text("ägent".into()),
            Field::ResponseHeader(_) => Value::Text("resp".into()),
            Field::StartTime(Some(format)) => Value::Text(format.to_string().into()),
            _ => return None,
        })
    }

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let format = LogFormat::compile(&AccessLogFormat::Template(template.into())).unwrap();
        assert_eq!(format.line(|field| value(&format, field)), expected, "{template}");
    }

    #[test]
    fn templates() {
        check("plain 100%%", "plain 100%\n");
        check("%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE%\n", "GET /a\\x22b?c 200\n");
        check("[%REQ(User-Agent)%] [%REQ(user-agent):3%] [%REQ(user-agent):1%]", "[ägent] [äg] []\n");
        check("%RESP(X?Y)% %UPSTREAM_HOST% %ROUTE_NAME:5%", "resp - -\n");
        check("%START_TIME(%Y/%m)% %START_TIME%", "%Y/%m -\n");
    }

    #[test]
    fn json() {
        let members =
            [("code", "%RESPONSE_CODE%"), ("host", "%UPSTREAM_HOST%"), ("a\"", "<%REQ(:PATH)%>"), ("none", "")];
        let members = members.map(|(name, text)| (name.into(), text.into())).into();
        let format = LogFormat::compile(&AccessLogFormat::Json(members)).unwrap();
        let line = format.line(|field| value(&format, field));
        assert_eq!(line, "{\"code\":200,\"host\":null,\"a\\\"\":\"</a\\\"b?c>\",\"none\":\"\"}\n");
    }

    #[test]
    fn what_is_not_known_is_told() {
        for (template, named) in [
            ("%NOPE%", "%NOPE%"),
            ("%REQ%", "%REQ%"),
            ("%REQ(:NOPE)%", "%REQ(:NOPE)%"),
            ("%REQ(a b)%", "%REQ(a b)%"),
            ("%DURATION(x)%", "%DURATION(x)%"),
            ("%DURATION:x%", "%DURATION:x%"),
            ("50% of", "% of"),
            ("%REQ(a", "%REQ(a"),
        ] {
            let error = LogFormat::compile(&AccessLogFormat::Template(template.into())).unwrap_err();
            assert!(error.contains(named), "{template}: {error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(template in "(%|\\(|\\)|:|\\?|REQ|DURATION|START_TIME|[ -~é]){0,20}") {
            if let Ok(format) = LogFormat::compile(&AccessLogFormat::Template(template.as_str().into())) {
                prop_assert_eq!(format.line(|_| None).matches('\n').count(), 1);
            }
        }
    }
}
