//! Compression of responses: whether, by which coding, and how (RFC 9110, sections 8.4 and 12.5.3; RFC 9659 for zstd).
//!
//! A response is left alone where the backend has coded it, where it is a part (206) or has no body, where
//! `Cache-Control: no-transform` or a digest of its bytes forbids it, where it is gRPC, too short, or of a type that is not
//! listed. One that could have been compressed says `Vary: Accept-Encoding` whether it was or not.
//!
//! Levels are those at which compressing costs a few milliseconds a megabyte; windows are small, so that a stream takes
//! some 300 KiB (gzip, zstd) to 1 MiB (brotli).

use std::fmt;
use std::io::{self, Write as _};

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use purlin_traffic::model::{self, Coding};

const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW: u32 = 18;
const BROTLI_BUFFER: usize = 4096;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW: u32 = 17;
/// What a response says of its bytes that would no longer be true.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Which responses are compressed, ready to use.
#[derive(Clone, Debug)]
pub struct Compression {
    codings: Vec<Coding>,
    min_bytes: u64,
    /// In lower case: `type/subtype`, or `type/` for all of a type.
    types: Vec<Box<str>>,
}

impl Compression {
    /// Checks and prepares what the model says.
    pub fn compile(compression: &model::Compression) -> Result<Self, String> {
        let types = compression.types.iter().map(|text| read_type(text)).collect::<Result<_, _>>()?;
        Ok(Self { codings: compression.codings.clone(), min_bytes: compression.min_bytes.into(), types })
    }

    /// The coding that the client of a request wants most, of those that are offered. Equal ones are taken in their order.
    pub fn wanted(&self, method: &Method, headers: &HeaderMap) -> Option<Coding> {
        if *method == Method::HEAD {
            return None;
        }
        let best = self.codings.iter().rev().map(|coding| (*coding, weight(headers, *coding)));
        best.filter(|(_, weight)| *weight > 0).max_by_key(|(_, weight)| *weight).map(|(coding, _)| coding)
    }

    /// Whether a response can be compressed.
    pub fn suits(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let bodiless = status.is_informational() || matches!(status.as_u16(), 204 | 205 | 206 | 304);
        let coded =
            headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let forbidden = headers
            .get_all(CACHE_CONTROL)
            .iter()
            .any(|value| elements(value).any(|e| e.eq_ignore_ascii_case("no-transform")))
            || DIGESTS.iter().any(|name| headers.contains_key(*name));
        !bodiless
            && !coded
            && !forbidden
            && !headers.contains_key(CONTENT_RANGE)
            && length.is_none_or(|length| length > 0 && length >= self.min_bytes)
            && headers.get(CONTENT_TYPE).is_some_and(|value| self.lists(value))
    }

    fn lists(&self, content_type: &HeaderValue) -> bool {
        let Ok(text) = content_type.to_str() else { return false };
        let plain = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let listed = |entry: &&str| if entry.ends_with('/') { plain.starts_with(entry) } else { plain == **entry };
        !plain.starts_with("application/grpc") && self.types.iter().map(|entry| &**entry).any(|entry| listed(&entry))
    }
}

fn read_type(text: &str) -> Result<Box<str>, String> {
    let parts = text.split_once('/').filter(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
    match parts {
        Some((kind, "*")) if kind != "*" => Ok(format!("{kind}/").to_ascii_lowercase().into()),
        Some((kind, subtype)) if !text.contains([';', ' ']) && !kind.contains('*') && !subtype.contains('*') => {
            Ok(text.to_ascii_lowercase().into())
        }
        _ => Err(format!("compression: {text:?} is not a media type like `text/html` or `text/*`")),
    }
}

fn elements(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}

/// How much a client wants a coding, in thousandths; by the star where it is not named.
fn weight(headers: &HeaderMap, coding: Coding) -> u32 {
    let mut by_star = 0;
    for element in headers.get_all(ACCEPT_ENCODING).iter().flat_map(elements) {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        let weight =
            parameters.split(';').find_map(|p| p.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('='));
        let weight =
            weight.map_or(1000, |q| q.trim().parse::<f32>().map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32));
        match name.trim() {
            name if name.eq_ignore_ascii_case(token(coding)) => return weight,
            name if coding == Coding::Gzip && name.eq_ignore_ascii_case("x-gzip") => return weight,
            "*" => by_star = weight,
            _ => {}
        }
    }
    by_star
}

fn token(coding: Coding) -> &'static str {
    match coding {
        Coding::Gzip => "gzip",
        Coding::Brotli => "br",
        Coding::Zstd => "zstd",
    }
}

/// A response's bytes on their way through a coding.
pub struct Encoder(Kind);

enum Kind {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoder")
            .field(&match self.0 {
                Kind::Gzip(_) => Coding::Gzip,
                Kind::Brotli(_) => Coding::Brotli,
                Kind::Zstd(_) => Coding::Zstd,
            })
            .finish()
    }
}

impl Encoder {
    /// Begins a stream; fails where memory does.
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(Self(match coding {
            Coding::Gzip => Kind::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Coding::Brotli => {
                let writer = brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
                Kind::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut writer = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                writer.window_log(ZSTD_WINDOW)?;
                Kind::Zstd(writer)
            }
        }))
    }

    /// The value of `Content-Encoding`.
    pub fn name(coding: Coding) -> HeaderValue {
        HeaderValue::from_static(token(coding))
    }

    /// Takes bytes; yields what has come out of the coding so far, perhaps nothing.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match &mut self.0 {
            Kind::Gzip(writer) => writer.write_all(bytes)?,
            Kind::Brotli(writer) => writer.write_all(bytes)?,
            Kind::Zstd(writer) => writer.write_all(bytes)?,
        }
        Ok(self.come_out())
    }

    /// Yields all that was taken.
    pub fn flush(&mut self) -> io::Result<Vec<u8>> {
        match &mut self.0 {
            Kind::Gzip(writer) => writer.flush()?,
            Kind::Brotli(writer) => writer.flush()?,
            Kind::Zstd(writer) => writer.flush()?,
        }
        Ok(self.come_out())
    }

    /// Ends the stream; yields the rest.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Kind::Gzip(writer) => writer.finish(),
            Kind::Brotli(writer) => Ok(writer.into_inner()),
            Kind::Zstd(writer) => writer.finish(),
        }
    }

    fn come_out(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.0 {
            Kind::Gzip(writer) => writer.get_mut(),
            Kind::Brotli(writer) => writer.get_mut(),
            Kind::Zstd(writer) => writer.get_mut(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    fn compression(types: &[&str]) -> Result<Compression, String> {
        let types = types.iter().map(|text| Arc::from(*text)).collect();
        Compression::compile(&model::Compression { codings: ALL.to_vec(), min_bytes: 100, types })
    }

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[track_caller]
    fn check(accept: &'static str, expected: Option<Coding>) {
        let rule = compression(&["text/*"]).unwrap();
        assert_eq!(rule.wanted(&Method::GET, &map(&[("accept-encoding", accept)])), expected, "{accept}");
        assert_eq!(rule.wanted(&Method::HEAD, &map(&[("accept-encoding", accept)])), None);
    }

    #[test]
    fn what_clients_accept() {
        check("gzip, deflate, br, zstd", Some(Coding::Zstd));
        check("gzip, br", Some(Coding::Brotli));
        check("GZIP", Some(Coding::Gzip));
        check("x-gzip", Some(Coding::Gzip));
        check("gzip;q=1.0, br;q=0.5, zstd;q=0", Some(Coding::Gzip));
        check("*", Some(Coding::Zstd));
        check("*;q=0.1, zstd;q=0", Some(Coding::Brotli));
        check("gzip;q=0", None);
        check("gzip;q=x", None);
        check("identity", None);
        check("", None);
    }

    #[test]
    fn what_is_compressed() {
        let rule = compression(&["text/*", "application/json"]).unwrap();
        let suits = |status, headers: &[(&'static str, &'static str)]| {
            rule.suits(StatusCode::from_u16(status).unwrap(), &map(headers))
        };
        let html = ("content-type", "Text/HTML; charset=utf-8");
        assert!(suits(200, &[html]));
        assert!(suits(404, &[html, ("content-length", "100")]));
        assert!(suits(200, &[("content-type", "application/json"), ("content-encoding", "identity")]));
        assert!(suits(200, &[("content-type", "text/event-stream")]));
        for (status, more) in [
            (206, ("x", "")),
            (204, ("x", "")),
            (304, ("x", "")),
            (200, ("content-length", "99")),
            (200, ("content-encoding", "gzip")),
            (200, ("cache-control", "public, No-Transform")),
            (200, ("content-digest", "sha-256=:x:")),
            (200, ("content-range", "bytes 0-1/2")),
        ] {
            assert!(!suits(status, &[html, more]), "{status} {more:?}");
        }
        for other in ["image/png", "application/jsonp", "application/grpc", "texty/plain", ""] {
            assert!(!suits(200, &[("content-type", other)]), "{other}");
        }
        assert!(!suits(200, &[]));
        assert!(
            !compression(&["application/*"])
                .unwrap()
                .suits(StatusCode::OK, &map(&[("content-type", "application/grpc+proto")]))
        );
        for bad in ["*/*", "text", "text/", "/x", "text/html; q=1", "*"] {
            assert!(compression(&[bad]).unwrap_err().contains(bad), "{bad}");
        }
    }

    /// What can be read of a stream, which may not have ended.
    fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // A stream that has not ended is an error only after all that it has.
        let _ = match coding {
            Coding::Gzip => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
        };
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Whatever was taken before a flush can be read after it, and in the end all can.
        #[test]
        fn there_and_back(parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 0..8)) {
            for coding in ALL {
                let mut encoder = Encoder::new(coding).unwrap();
                let (mut sent, mut taken) = (Vec::new(), Vec::new());
                for (part, flush) in &parts {
                    sent.extend(encoder.write(part).unwrap());
                    taken.extend_from_slice(part);
                    if *flush {
                        sent.extend(encoder.flush().unwrap());
                        prop_assert_eq!(decode(coding, &sent), taken.clone(), "{:?}", coding);
                    }
                }
                sent.extend(encoder.finish().unwrap());
                prop_assert_eq!(decode(coding, &sent), taken, "{:?}", coding);
            }
        }
    }
}
