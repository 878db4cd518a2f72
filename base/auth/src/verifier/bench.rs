//! What a check costs beside the bare signature: `cargo test --release -p purlin-auth -- --ignored --nocapture rates`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use super::base64::decode;
use super::jwk::{Algorithm, KeySet};
use super::testkeys::{Signer, set};
use super::{Issuer, IssuerConfig, Proof, Requirement, Verifier};
use crate::verifier::requirement::Scopes;

const ROUND: Duration = Duration::from_millis(200);
const ROUNDS: usize = 7;
const TOKENS: usize = 4096;

/// How often `body` runs in a second, in one round.
fn rate(next: &mut usize, mut body: impl FnMut(usize)) -> f64 {
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < ROUND {
        for _ in 0..32 {
            body(*next % TOKENS);
            *next += 1;
        }
        count += 32;
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[test]
#[ignore = "measures; it takes half a minute in a release build and says nothing in another"]
#[expect(clippy::print_stdout, reason = "it is for whoever runs it")]
fn rates() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let requirement = Requirement {
        audiences: vec!["https://shop.example.org".into()],
        all_scopes: Scopes::new(&["orders.read"]).unwrap(),
        ..Requirement::default()
    };
    println!("algorithm      bare/s      full/s   ratio    cached/s  65% hits/s  bytes");
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let signer = Signer::new(algorithm, "2026-11");
        let keys = KeySet::parse(&set(&[&signer]), &Algorithm::ALL).unwrap();
        let key = keys.named("2026-11", algorithm).unwrap();
        let issuer = Issuer::fixed(IssuerConfig::new("https://login.example.org"), &set(&[&signer])).unwrap();
        let issuer = Arc::new(issuer);
        let verifier = |bytes| Verifier::new([Arc::clone(&issuer)], bytes);
        let tokens: Vec<String> = (0..TOKENS)
            .map(|i| {
                signer.sign(
                    &json!({"iss": "https://login.example.org", "sub": format!("user-{i}"), "jti": format!("{i:032x}"),
                    "aud": "https://shop.example.org", "client_id": "web", "scope": "orders.read orders.write profile",
                    "iat": 1_800_000_000, "exp": 1_800_000_900}),
                )
            })
            .collect();
        let parts: Vec<(&[u8], Vec<u8>)> = tokens
            .iter()
            .map(|token| {
                token.rsplit_once('.').map(|(signed, s)| (signed.as_bytes(), decode(s.as_bytes()).unwrap())).unwrap()
            })
            .collect();
        let check = |verifier: &Verifier, token: &str| {
            let verified = verifier.authenticate_now(token, now).unwrap();
            requirement.check(black_box(&verified), Proof::default()).unwrap();
        };
        // Nothing fits into the first; all into the second, and it is filled before.
        let (none, all) = (verifier(0), verifier(64 << 20));
        tokens.iter().for_each(|token| check(&all, token));
        let mut rates: [Vec<f64>; 4] = Default::default();
        let mut next = [0; 4];
        for _ in 0..ROUNDS {
            rates[0].push(rate(&mut next[0], |i| assert!(key.verify(parts[i].0, &parts[i].1))));
            rates[1].push(rate(&mut next[1], |i| check(&none, &tokens[i])));
            rates[2].push(rate(&mut next[2], |i| check(&all, &tokens[i])));
            rates[3].push(rate(&mut next[3], |i| check(if i % 20 < 13 { &all } else { &none }, &tokens[i])));
        }
        let [bare, full, cached, mixed] = rates.map(median);
        let (name, ratio, size) = (algorithm.name(), full / bare, tokens[0].len());
        println!("{name:9} {bare:11.0} {full:11.0} {ratio:7.3} {cached:11.0} {mixed:11.0} {size:6}");
    }
}
