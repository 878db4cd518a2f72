//! What a key set yields, and what it is refused for.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

// From RFC 7517 appendix A, RFC 8037 appendix A and RFC 7520.
const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj\
    hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI\
    SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn rsa() -> Value {
    json!({"kty": "RSA", "n": N.replace(' ', ""), "e": "AQAB", "kid": "r"})
}

fn ec() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "e", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

fn ed() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
    key[name] = value.into();
    key
}

fn parse(keys: &[Value]) -> Result<KeySet, JwkError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &Algorithm::ALL)
}

/// The key is left out, and the set goes on.
fn skips(key: Value, reason: &'static str) {
    let set = parse(&[key.clone(), with(ed(), "kid", "good")]).unwrap();
    assert_eq!(set.skipped, [Skipped { position: 0, reason }], "{key}");
    assert_eq!((set.len(), set.knows("good")), (1, true), "{key}");
}

#[test]
fn a_key_has_the_algorithms_of_its_type() {
    let algorithms = |key: Value| parse(&[key]).unwrap().keys.iter().map(|key| key.algorithm).collect::<Vec<_>>();
    assert_eq!(algorithms(rsa()), Algorithm::ALL[..6]);
    assert_eq!(algorithms(with(rsa(), "alg", "PS384")), [Algorithm::Ps384]);
    assert_eq!(algorithms(ec()), [Algorithm::Es256]);
    assert_eq!(algorithms(with(ed(), "alg", "Ed25519")), [Algorithm::EdDsa]);
    assert_eq!(algorithms(with(with(ed(), "use", "sig"), "key_ops", json!(["verify"]))), [Algorithm::EdDsa]);
    let set = json!({"keys": [rsa(), ec()]}).to_string();
    let set = KeySet::parse(set.as_bytes(), &[Algorithm::Rs256]).unwrap();
    assert_eq!((set.len(), set.skipped.len()), (1, 1));
    assert!(set.named("r", Algorithm::Rs256).is_some() && set.named("r", Algorithm::Ps256).is_none());
}

#[test]
fn what_cannot_verify_is_left_out() {
    skips(json!({"kty": "oct", "k": "AA"}), "its kty is none of RSA, EC, OKP");
    skips(json!({"kty": "AKP", "alg": "ML-DSA-44"}), "its kty is none of RSA, EC, OKP");
    skips(json!({}), "it has no kty");
    skips(with(ec(), "crv", "secp256k1"), "its crv is none of P-256, P-384, P-521");
    skips(with(ed(), "crv", "X25519"), "its crv is not Ed25519");
    skips(with(ec(), "use", "enc"), "its use is not sig");
    skips(with(ec(), "key_ops", json!(["sign"])), "its key_ops do not have verify");
    skips(with(ec(), "key_ops", "verify!"), "its key_ops do not have verify");
    skips(with(ec(), "key_ops", 1), "its key_ops are no list of strings");
    skips(with(ec(), "alg", "ECDH-ES"), "its alg is not supported");
    skips(with(ec(), "alg", "ES384"), "its alg does not fit to its type, or is not allowed for this issuer");
    skips(with(rsa(), "alg", "ES256"), "its alg does not fit to its type, or is not allowed for this issuer");
    skips(with(ec(), "kid", 7), "a member that is a string by RFC 7517 is none");
    skips(with(ec(), "kid", "k".repeat(257)), "its kid is too long");
}

#[test]
fn what_is_weak_is_left_out() {
    for name in ["d", "k", "oth"] {
        skips(with(ec(), name, "AA"), "it holds the private key, which is now everybody's");
    }
    skips(with(ec(), "y", "AA"), "a coordinate has not the length of its curve");
    skips(with(ec(), "y", "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"), "its point is not on the curve");
    skips(with(ec(), "y", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM="), "it is no base64url");
    skips(with(ed(), "x", "AAAA"), "its public key does not have 32 bytes");
    skips(with(rsa(), "n", "w".repeat(340)), "its modulus does not have 2048 to 8192 bits");
    skips(with(rsa(), "n", "w".repeat(1368)), "its modulus does not have 2048 to 8192 bits");
    skips(
        with(rsa(), "n", "AAAA".to_owned() + &"w".repeat(344)),
        "a number in it has leading zeros, which RFC 7518 forbids",
    );
    skips(with(rsa(), "n", "wwww".repeat(86)), "its modulus can be factored");
    for e in ["AQ", "Aw", "AQAA", "AQAC", "______8", "__________8"] {
        skips(with(rsa(), "e", e), "its exponent is not odd and between 65537 and 2^33");
    }
}

#[test]
fn a_doubtful_set_is_refused() {
    let fails = |text: &str, expected: JwkError| {
        assert_eq!(KeySet::parse(text.as_bytes(), &Algorithm::ALL).err(), Some(expected), "{text:.80}");
    };
    fails("[]", JwkError::Json(JsonError::Syntax));
    fails("{}", JwkError::NoKeys);
    fails(r#"{"keys":{}}"#, JwkError::NoKeys);
    fails(r#"{"keys":[1]}"#, JwkError::NoKeys);
    fails(r#"{"keys":[]}"#, JwkError::Useless(vec![]));
    fails(r#"{"keys":[{}, {}]}"#, JwkError::Useless(vec!["it has no kty"]));
    fails(r#"{"keys":[{"kty":"EC","kty":"RSA"}]}"#, JwkError::Json(JsonError::Duplicate));
    fails(&format!(r#"{{"keys":[{}]}}"#, vec!["{}"; MAX_KEYS + 1].join(",")), JwkError::Many);
    fails(&" ".repeat(MAX_SET_BYTES + 1), JwkError::Large);
    let other = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUSo";
    assert_eq!(parse(&[ed(), with(ed(), "x", other)]).err(), Some(JwkError::Ambiguous("EdDSA")));
    // The same again, and another type under the same name, can be told apart.
    assert_eq!(parse(&[ed(), ed(), with(ec(), "kid", "o")]).unwrap().len(), 2);
}

#[test]
fn keys_are_found_by_name_and_algorithm() {
    let unnamed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let set = parse(&[rsa(), ed(), ec(), unnamed]).unwrap();
    assert!(set.knows("r") && set.knows("e") && !set.knows("") && !set.knows("q"));
    assert_eq!(set.of(Algorithm::EdDsa).count(), 2);
    assert!(set.named("e", Algorithm::Es256).is_some() && set.named("e", Algorithm::EdDsa).is_none());
    assert!(parse(&[ec(), ed()]).unwrap().same(&parse(&[ed(), ec()]).unwrap()));
    assert!(!parse(&[ec(), ed()]).unwrap().same(&parse(&[ed()]).unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_it_panic(text in r#"\{"keys":\[(\{|\}|"(kty|n|x|e|crv)":"(RSA|EC|OKP|AQAB|P-256)"|,|\]){0,12}"#, cut in 0_usize..60) {
        let _ = KeySet::parse(&text.as_bytes()[..cut.min(text.len())], &Algorithm::ALL);
        let _ = KeySet::parse(text.as_bytes(), &Algorithm::ALL);
    }
}
