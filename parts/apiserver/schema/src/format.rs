//! String formats: what `format: date-time` and its like accept.
//!
//! The names are those of OpenAPI as kube-openapi registers them; a format that is not in [`Format`] is an
//! annotation. Follows RFC 3339 (dates), RFC 4648 (base64), RFC 1123 (host names), and Go's ParseDuration.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;

use crate::Format;

impl Format {
    /// The format of this name, where it is one that is checked.
    pub fn parse(name: &str) -> Option<Format> {
        Some(match name {
            "int32" => Format::Int32,
            "int64" => Format::Int64,
            "float" => Format::Float,
            "double" => Format::Double,
            "byte" => Format::Byte,
            "date" => Format::Date,
            "date-time" | "datetime" => Format::DateTime,
            "duration" => Format::Duration,
            "email" => Format::Email,
            "hostname" => Format::Hostname,
            "ipv4" => Format::Ipv4,
            "ipv6" => Format::Ipv6,
            "cidr" => Format::Cidr,
            "mac" => Format::Mac,
            "uri" => Format::Uri,
            "uuid" => Format::Uuid,
            _ => return None,
        })
    }

    /// The name that messages show.
    pub fn name(self) -> &'static str {
        match self {
            Format::Int32 => "int32",
            Format::Int64 => "int64",
            Format::Float => "float",
            Format::Double => "double",
            Format::Byte => "byte",
            Format::Date => "date",
            Format::DateTime => "date-time",
            Format::Duration => "duration",
            Format::Email => "email",
            Format::Hostname => "hostname",
            Format::Ipv4 => "ipv4",
            Format::Ipv6 => "ipv6",
            Format::Cidr => "cidr",
            Format::Mac => "mac",
            Format::Uri => "uri",
            Format::Uuid => "uuid",
        }
    }

    /// Whether a string has this format; the numeric formats say nothing of strings.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Format::Int32 | Format::Int64 | Format::Float | Format::Double => true,
            Format::Byte => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
            Format::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Format::DateTime => is_date_time(text),
            Format::Duration => duration_nanos(text).is_some(),
            Format::Email => is_email(text),
            Format::Hostname => is_hostname(text),
            Format::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Format::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Format::Cidr => is_cidr(text),
            Format::Mac => is_mac(text),
            Format::Uri => is_uri(text),
            Format::Uuid => is_uuid(text),
        }
    }
}

/// RFC 3339: a date, `T`, a time and an offset.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let offset = bytes.last().is_some_and(|&b| b == b'Z' || b == b'z')
        || bytes.iter().rev().nth(2) == Some(&b':') && matches!(bytes.iter().rev().nth(5), Some(b'+' | b'-'));
    bytes.len() >= 20 && matches!(bytes.get(10), Some(b'T' | b't')) && offset && text.parse::<jiff::Timestamp>().is_ok()
}

/// A duration as Go writes it (`1h30m`, `-1.5s`), in nanoseconds; none where it is no duration or does not fit.
pub(crate) fn duration_nanos(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let units: [(&str, f64); 8] =
            [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
        let (unit, nanos) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * nanos;
        rest = &rest[unit.len()..];
    }
    let total = sign * total;
    (total.abs() < i64::MAX as f64).then_some(total as i64)
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    !local.is_empty() && !local.contains(char::is_whitespace) && is_hostname(domain)
}

fn is_hostname(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let bits: u8 = match bits.parse() {
        Ok(n) if !bits.starts_with('+') => n,
        _ => return false,
    };
    if address.contains(':') {
        address.parse::<Ipv6Addr>().is_ok() && bits <= 128
    } else {
        address.parse::<Ipv4Addr>().is_ok() && bits <= 32
    }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// An absolute URI, or a path: what Go's ParseRequestURI takes.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !rest.is_empty()
}

fn is_uuid(text: &str) -> bool {
    let hex: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = hex.iter().map(|part| part.len()).collect();
    (lengths == [8, 4, 4, 4, 12] || lengths == [32])
        && hex.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Format, yes: &[&str], no: &[&str]) {
        assert_eq!(Format::parse(format.name()), Some(format));
        for text in yes {
            assert!(format.accepts(text), "{format:?} {text}");
        }
        for text in no {
            assert!(!format.accepts(text), "{format:?} {text}");
        }
    }

    #[test]
    fn formats_accept_what_they_name() {
        check(
            Format::DateTime,
            &["2024-01-02T03:04:05Z", "2024-01-02T03:04:05.678+02:00"],
            &["2024-01-02", "2024-01-02 03:04:05Z", "2024-13-02T03:04:05Z", "x", "2024-01-02T03:04:05"],
        );
        check(Format::Date, &["2024-02-29"], &["2023-02-29", "2024-2-9", "x"]);
        check(Format::Duration, &["1h30m", "-1.5s", "0", "10ms"], &["", "1", "1d", "h", "-"]);
        check(Format::Byte, &["", "aGk="], &["a"]);
        check(Format::Ipv4, &["10.0.0.1"], &["10.0.0", "::1"]);
        check(Format::Ipv6, &["::1"], &["10.0.0.1"]);
        check(Format::Cidr, &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33"]);
        check(Format::Mac, &["00:11:22:aa:bb:cc"], &["00:11"]);
        check(Format::Uri, &["https://a.b/c", "/x", "urn:a"], &["", "a b", "a"]);
        check(Format::Uuid, &["a8098c1a-f86e-11da-bd1a-00112444be1e"], &["a8098c1a"]);
        check(Format::Hostname, &["a.b-c"], &["", "-a", "a..b"]);
        check(Format::Email, &["a@b.c"], &["a", "@b"]);
    }

    #[test]
    fn durations_have_their_length() {
        for (text, nanos) in
            [("1h", 3_600_000_000_000), ("1m1s", 61_000_000_000), ("-2ms", -2_000_000), ("1.5us", 1500)]
        {
            assert_eq!(duration_nanos(text), Some(nanos), "{text}");
        }
        assert_eq!(duration_nanos("99999999999h"), None);
    }
}
