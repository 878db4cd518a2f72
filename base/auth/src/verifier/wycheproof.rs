//! The vectors of C2SP/wycheproof: nothing that is invalid is accepted, and all that is valid is, but what we refuse.

use serde_json::Value;

use super::jwk::{Algorithm, KeySet};
use super::jws::Jws;

/// Valid by the vectors, and refused here: the key says PS256 and the token PS384, or the key says ES521, which no RFC knows.
const NOT_FOR_THEIR_KEY: [u64; 4] = [346, 347, 350, 351];

fn verifies(keys: &str, token: &str) -> bool {
    let Ok(keys) = KeySet::parse(keys.as_bytes(), &Algorithm::ALL) else { return false };
    let Ok(jws) = Jws::parse(token) else { return false };
    let Some(kid) = jws.header.kid.as_deref() else { return false };
    // All payloads of the vectors: a token has been read only when its payload can be.
    keys.named(kid, jws.header.algorithm).is_some_and(|key| jws.verify(key).is_ok() && jws.payload().is_ok())
}

/// Runs the vectors; how many are accepted, refused as invalid, and refused though valid.
fn check(vectors: &str, expected: [usize; 3]) {
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let mut counts = [0; 3];
    for group in vectors["testGroups"].as_array().unwrap() {
        let key = group.get("public").unwrap_or(&group["private"]);
        let keys = if key.get("keys").is_some() { key.clone() } else { serde_json::json!({ "keys": [key] }) };
        let hmac = keys["keys"].as_array().unwrap().iter().all(|key| key["kty"] == "oct");
        for test in group["tests"].as_array().unwrap() {
            let accepted = verifies(&keys.to_string(), test["jws"].as_str().unwrap());
            let refused_here = hmac || NOT_FOR_THEIR_KEY.contains(&test["tcId"].as_u64().unwrap());
            match (test["result"].as_str().unwrap(), accepted) {
                ("valid", true) => counts[0] += 1,
                ("invalid", false) => counts[1] += 1,
                ("valid", false) if refused_here => counts[2] += 1,
                _ => panic!("accepted is {accepted}, which is wrong: {test}"),
            }
        }
    }
    assert_eq!(counts, expected);
}

#[test]
fn signatures() {
    check(include_str!("../../tests/data/wycheproof/json_web_signature_test.json"), [32, 355, 14]);
}

#[test]
fn keys() {
    check(include_str!("../../tests/data/wycheproof/json_web_key_test.json"), [1, 21, 4]);
}
