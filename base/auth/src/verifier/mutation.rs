//! No token that differs from what was signed in a single bit is accepted, whatever it is changed into.

use std::sync::Arc;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use super::base64::encode;
use super::jwk::Algorithm;
use super::testkeys::{Signer, set};
use super::{Issuer, IssuerConfig, Verifier};

/// What an attacker puts in place of a part, or into one.
const PIECES: [&str; 14] = [
    "",
    ".",
    "=",
    "A",
    "AA",
    "%2e",
    " ",
    "\n",
    "e30",
    "eyJhbGciOiJub25lIn0",
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IlJTMjU2In0",
    "é",
    "-",
    "_",
];

fn replace_at(text: &str, start: usize, end: usize, piece: &str) -> String {
    let (start, end) = (start.min(text.len()), end.min(text.len()));
    [&text[..start], piece, &text[end.max(start)..]].concat()
}

fn mutate(random: &mut StdRng, token: &str, others: &[String]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let position = random.random_range(0..token.len());
    let piece = PIECES[random.random_range(0..PIECES.len())];
    let parts: Vec<&str> = token.split('.').collect();
    let other: Vec<&str> = others[random.random_range(0..others.len())].split('.').collect();
    match random.random_range(0..9) {
        // Another character; the last ones of a part may carry bits that a lax decoder throws away.
        0 | 1 => {
            let edge = [parts[0].len(), parts[0].len() + 1 + parts[1].len(), token.len()][random.random_range(0..3)];
            let position = if random.random() { position } else { edge - 1 };
            let letter = char::from(ALPHABET[random.random_range(0..ALPHABET.len())]);
            replace_at(token, position, position + 1, &letter.to_string())
        }
        2 => replace_at(token, position, position, piece),
        3 => replace_at(token, position, position + random.random_range(1..20), piece),
        4 => token[..position].to_owned(),
        5 => {
            let mut parts: Vec<&str> = parts;
            parts[random.random_range(0..3)] = piece;
            parts.join(".")
        }
        // Parts of other tokens: another key, another subject.
        6 => {
            let mut parts: Vec<&str> = parts;
            let which = random.random_range(0..3);
            parts[which] = other[which];
            parts.join(".")
        }
        7 => {
            let algorithm = ["none", "HS256", "RS256", "ES256", "EdDSA"][random.random_range(0..5)];
            let kid = ["RS256", "ES256", "EdDSA", "x"][random.random_range(0..4)];
            let header = json!({"alg": algorithm, "kid": kid});
            [&encode(header.to_string().as_bytes()), parts[1], parts[2]].join(".")
        }
        // A signature with one bit flipped, or of another form: zeros, or with zeros in front.
        _ => {
            let mut signature = super::base64::decode(parts[2].as_bytes()).unwrap();
            match random.random_range(0..4) {
                0 => signature.fill(0),
                1 => signature.insert(0, 0),
                2 => signature.truncate(signature.len() / 2),
                _ => {
                    let bit = random.random_range(0..signature.len() * 8);
                    signature[bit / 8] ^= 1 << (bit % 8);
                }
            }
            [parts[0], parts[1], &encode(&signature)].join(".")
        }
    }
}

#[test]
fn no_changed_token_is_accepted() {
    let count = if std::env::var_os("PURLIN_SOAK").is_some() { 100_000 } else { 3_000 };
    let algorithms = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];
    let signers = algorithms.map(|algorithm| Signer::new(algorithm, algorithm.name()));
    let issuer = Issuer::fixed(IssuerConfig::new("https://issuer"), &set(&signers.each_ref())).unwrap();
    let verifier = Verifier::new([Arc::new(issuer)], 1 << 20);
    let claims = |sub: &str| json!({"iss": "https://issuer", "sub": sub, "exp": 2_000, "aud": "shop"});
    let signed: Vec<String> =
        signers.iter().flat_map(|signer| ["ada", "bob"].map(|sub| signer.sign(&claims(sub)))).collect();
    let now = Timestamp::from_second(1_000).unwrap();
    for token in &signed {
        assert!(verifier.authenticate_now(token, now).is_ok());
    }
    let mut random = StdRng::seed_from_u64(7);
    let mut changed = 0;
    while changed < count {
        let token = &signed[random.random_range(0..signed.len())];
        let mutant = mutate(&mut random, token, &signed);
        if signed.contains(&mutant) {
            continue;
        }
        changed += 1;
        assert!(verifier.authenticate_now(&mutant, now).is_err(), "{mutant} was made of {token}");
    }
}
