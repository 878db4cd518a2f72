//! Bodies as a Go client writes them, and bodies that nobody should write.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use purlin_kubernetes::{DecodeError, MAX_DEPTH, decode};
use serde_json::{Value, json};

/// Marshalled by `k8s.io/api` v0.36.3, three lines each: kind and label (`zero`: nothing set, `full`: every field set),
/// the body as base64, and what `encoding/json` writes without its nulls.
const GO: &str = include_str!("data/go.txt");

fn samples() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let lines: Vec<_> = GO.lines().collect();
    let sample = |lines: &[&'static str]| {
        let [name, body, expected] = *lines else { panic!("three lines each") };
        (name, STANDARD.decode(body).expect("base64"), expected)
    };
    lines.chunks(3).map(sample).collect()
}

#[test]
fn what_go_writes_is_read_as_go_shows_it() {
    let samples = samples();
    assert!(samples.len() >= 120, "{} samples", samples.len());
    for (name, body, expected) in samples {
        let expected: Value = serde_json::from_str(expected).expect("JSON");
        let found = decode(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        let keys: Vec<_> = found.as_object().expect("an object").keys().take(2).collect();
        assert_eq!(keys, ["apiVersion", "kind"], "{name}");
        if found != expected {
            assert_eq!(pretty(&found), pretty(&expected), "{name}");
        }
    }
}

fn pretty(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    serde_json::to_string_pretty(&value).expect("JSON")
}

/// A field of wire type 2.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

fn varint(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), bytes(1, &type_meta), bytes(2, raw)].concat()
}

#[test]
fn a_config_map() {
    let metadata = bytes(1, b"cm");
    let entry = [bytes(1, b"key"), bytes(2, b"value")].concat();
    let binary = [bytes(1, b"bin"), bytes(2, &[0, 255])].concat();
    let raw = [bytes(1, &metadata), bytes(2, &entry), bytes(3, &binary), bytes(15, b"unknown"), varint(4, 1)].concat();
    let expected = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cm"},
        "data": {"key": "value"},
        "binaryData": {"bin": "AP8="},
        "immutable": true,
    });
    assert_eq!(decode(&body("v1", "ConfigMap", &raw)), Ok(expected));
}

#[test]
fn options_belong_to_every_version() {
    let raw = [varint(1, 0), bytes(4, b"Foreground"), bytes(5, b"All")].concat();
    let expected = json!({
        "apiVersion": "apps/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
        "dryRun": ["All"],
    });
    assert_eq!(decode(&body("apps/v1", "DeleteOptions", &raw)), Ok(expected));
}

#[test]
fn a_message_in_pieces_is_merged() {
    let raw = [bytes(1, &bytes(1, b"a")), bytes(1, &bytes(3, b"ns")), bytes(1, &bytes(1, b"b"))].concat();
    let found = decode(&body("v1", "ConfigMap", &raw)).expect("decodes");
    assert_eq!(found["metadata"], json!({"name": "b", "namespace": "ns"}));
}

#[test]
fn packed_and_unpacked_numbers() {
    for groups in [bytes(4, &[5, 6]), [varint(4, 5), varint(4, 6)].concat()] {
        let security = bytes(14, &groups);
        let found = decode(&body("v1", "Pod", &bytes(2, &security))).expect("decodes");
        assert_eq!(found["spec"]["securityContext"], json!({"supplementalGroups": [5, 6]}));
    }
}

#[test]
fn refusals() {
    let config_map = |raw: &[u8]| decode(&body("v1", "ConfigMap", raw)).expect_err("refused").to_string();
    assert_eq!(decode(b"{}"), Err(DecodeError::Magic));
    assert_eq!(decode(b"k8s\0"), Err(DecodeError::UnknownKind { api_version: String::new(), kind: String::new() }));
    assert_eq!(
        decode(&body("example.com/v1", "Foo", b"")).expect_err("refused").to_string(),
        r#""Foo" of "example.com/v1" cannot be read as protobuf; send it as application/json"#
    );
    assert_eq!(
        decode(&[body("v1", "ConfigMap", b""), bytes(3, b"gzip")].concat()),
        Err(DecodeError::Encoding("gzip".to_owned()))
    );
    assert_eq!(
        decode(&[body("v1", "ConfigMap", b""), bytes(4, b"application/json")].concat()),
        Err(DecodeError::Encoding("application/json".to_owned()))
    );
    assert_eq!(config_map(&[0x0a, 9, 1]), "the protobuf body is truncated");
    assert_eq!(config_map(&varint(1, 1)), "ConfigMap.metadata: sent with the wire type of another type");
    assert_eq!(config_map(&bytes(1, &bytes(1, &[0xff]))), "ObjectMeta.name: a string must be UTF-8");
    assert_eq!(
        config_map(&bytes(1, &bytes(8, &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 127]))),
        "ObjectMeta.creationTimestamp: 9223372036854775807 seconds are not a time of the years 0 to 9999"
    );
}

#[test]
fn depth_is_limited() {
    // spec.versions[].schema.openAPIV3Schema, then `not` within `not`.
    let nested = |levels: usize| {
        let mut schema = Vec::new();
        for _ in 0..levels {
            schema = bytes(1, &schema);
            schema.splice(0..1, [0xe2, 0x01]); // the tag of field 28, `not`
        }
        let version = bytes(4, &bytes(1, &schema));
        body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &bytes(2, &bytes(7, &version)))
    };
    assert!(decode(&nested(MAX_DEPTH - 10)).is_ok());
    assert_eq!(decode(&nested(MAX_DEPTH)), Err(DecodeError::TooDeep));
    assert_eq!(decode(&nested(20_000)), Err(DecodeError::TooDeep));
}

#[test]
fn the_number_of_values_is_limited() {
    let containers = bytes(2, b"").repeat(200_000);
    assert_eq!(decode(&body("v1", "Pod", &bytes(2, &containers))), Err(DecodeError::TooMany));
}

#[test]
fn a_cut_body_is_refused_unless_only_whole_fields_are_missing() {
    let (_, whole, _) = samples().into_iter().find(|(name, ..)| *name == "Service full").expect("a Service");
    let accepted = (0..whole.len()).filter(|length| decode(&whole[..*length]).is_ok()).count();
    // After the type, after the raw message, and after the empty content encoding.
    assert_eq!(accepted, 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..5_usize) {
        let (api_version, kind) = [
            ("v1", "Pod"),
            ("v1", "ConfigMap"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("rbac.authorization.k8s.io/v1", "ClusterRole"),
            ("apps/v1", "Deployment"),
        ][kind];
        let _ = decode(&body(api_version, kind, &raw));
        let _ = decode(&raw);
    }

    #[test]
    fn no_damage_panics(sample in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let samples = samples();
        let mut body = sample.get(&samples).1.clone();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = decode(&body);
    }
}
