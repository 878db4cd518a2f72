//! Stored hashes of passwords, as `htpasswd` writes them.
//!
//! bcrypt (`htpasswd -B`) is what should be used. `{SHA}` is all that Envoy knows, and `$apr1$` what `htpasswd` writes when
//! nothing is said; both are read, so that Secrets of others work as they are. What is not known is refused when it is
//! loaded, not when somebody logs in.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// A hash with 2^14 rounds takes about a second.
const MAX_BCRYPT_COST: u32 = 14;
const APR1_ROUNDS: usize = 1000;
const APR1_ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A stored hash.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// SHA-1 of the password alone: one look-up in a table of others, hence only for what exists.
    Sha1([u8; 20]),
    /// A thousand rounds of MD5 with a salt.
    Apr1 {
        /// Up to eight characters.
        salt: Box<str>,
        /// The text of the hash.
        hash: Box<str>,
    },
    /// The whole text, which was checked.
    Bcrypt(Box<str>),
}

impl Stored {
    /// Reads a hash, or says why it cannot be used.
    pub(crate) fn parse(text: &str) -> Result<Stored, &'static str> {
        if let Some(hash) = text.strip_prefix("{SHA}") {
            let hash = STANDARD.decode(hash).ok().and_then(|hash| hash.try_into().ok());
            return hash.map(Stored::Sha1).ok_or("is no SHA-1 in base64");
        }
        if let Some(rest) = text.strip_prefix("$apr1$") {
            let (salt, hash) = rest.split_once('$').ok_or("is no apr1 hash")?;
            let crypt = |text: &str| text.bytes().all(|byte| APR1_ALPHABET.contains(&byte));
            let fits = (1..=8).contains(&salt.len()) && hash.len() == 22 && crypt(salt) && crypt(hash);
            return fits.then(|| Stored::Apr1 { salt: salt.into(), hash: hash.into() }).ok_or("is no apr1 hash");
        }
        if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| "is no bcrypt hash")?;
            return match parts.get_cost() {
                4..=MAX_BCRYPT_COST => Ok(Stored::Bcrypt(text.into())),
                _ => Err("is a bcrypt hash whose cost is not between 4 and 14"),
            };
        }
        Err("is none of bcrypt ($2y$), apr1 and {SHA}; write it with htpasswd -B")
    }

    /// Whether to check it takes so long that nothing else should wait for it.
    pub(crate) fn is_slow(&self) -> bool {
        !matches!(self, Stored::Sha1(_))
    }

    /// Whether it is that of the password.
    pub(crate) fn is_of(&self, password: &str) -> bool {
        match self {
            Stored::Sha1(hash) => {
                let other = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
                verify_slices_are_equal(hash, other.as_ref()).is_ok()
            }
            Stored::Apr1 { salt, hash } => {
                verify_slices_are_equal(hash.as_bytes(), apr1(password.as_bytes(), salt.as_bytes()).as_bytes()).is_ok()
            }
            // Like all others it looks at the first 72 bytes.
            Stored::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        }
    }

    /// Bytes that differ for different hashes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Stored::Sha1(hash) => hash,
            Stored::Apr1 { hash, .. } => hash.as_bytes(),
            Stored::Bcrypt(hash) => hash.as_bytes(),
        }
    }
}

/// The 22 characters of Apache's variant of the MD5 crypt of FreeBSD.
fn apr1(password: &[u8], salt: &[u8]) -> String {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(b"$apr1$").chain_update(salt);
    outer.update(inner.iter().cycle().take(password.len()).copied().collect::<Vec<u8>>());
    // A zero for each bit that is set in the length, else the first character.
    let mut length = password.len();
    while length > 0 {
        outer.update(if length & 1 == 1 { &[0] } else { password.get(..1).unwrap_or_default() });
        length >>= 1;
    }
    let mut hash = outer.finalize();
    for round in 0..APR1_ROUNDS {
        let mut next = Md5::new();
        let odd = round % 2 == 1;
        next.update(if odd { password } else { &hash });
        if !round.is_multiple_of(3) {
            next.update(salt);
        }
        if !round.is_multiple_of(7) {
            next.update(password);
        }
        next.update(if odd { &hash } else { password });
        hash = next.finalize();
    }
    // The bytes in an order of its own, six bits a character from the lowest.
    let byte = |i: usize| u32::from(hash.get(i).copied().unwrap_or_default());
    let mut text = String::with_capacity(22);
    let mut put = |mut bits: u32, characters: usize| {
        for _ in 0..characters {
            text.push(char::from(APR1_ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'.')));
            bits >>= 6;
        }
    };
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        put(byte(a) << 16 | byte(b) << 8 | byte(c), 4);
    }
    put(byte(11), 2);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by libxcrypt and `openssl passwd -apr1`.
    const HASHES: [(&str, &str); 6] = [
        ("password", "$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu"),
        ("pé x", "$2b$04$abcdefghijklmnopqrstuuFy/2D.ag4vPRJCIh2Wjnv6c6kUXehIK"),
        ("password", "$apr1$abcdEF12$7jbHNV83K9SMOTYfyMSG.0"),
        ("a", "$apr1$abcdEF12$WMVym8dMxLt5YqNSj/Lix/"),
        ("longer password: é and more than sixteen", "$apr1$abcdEF12$PgEVvpUnCmuCZRGn.6HAr/"),
        ("password", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="),
    ];

    #[test]
    fn hashes_of_others_are_read() {
        for (password, text) in HASHES {
            let Ok(stored) = Stored::parse(text) else { panic!("{text} is refused") };
            assert!(stored.is_of(password), "{text}");
            for other in ["", "x", &format!("{password}x"), &password.to_uppercase()] {
                assert!(!stored.is_of(other), "{text} {other}");
            }
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for text in [
            "",
            "secret",
            "{PLAIN}secret",
            "{SSHA}AAAA",
            "{SHA}AAAA",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9",
            "$1$salt$hash",
            "$apr1$salt",
            "$apr1$saltsalts$aaaaaaaaaaaaaaaaaaaaaa",
            "$apr1$$aaaaaaaaaaaaaaaaaaaaaa",
            "$apr1$salt$aaaaaaaaaaaaaaaaaaaaa",
            "$apr1$salt$aaaaaaaaaaaaaaaaaaaaa*",
            "$2x$05$abcdefghijklmnopqrstuuSgLhNzNVRHmEOFM0n4OLSFvyTcXNNFe",
            "$2y$31$abcdefghijklmnopqrstuuSgLhNzNVRHmEOFM0n4OLSFvyTcXNNFe",
            "$2y$05$short",
        ] {
            assert!(Stored::parse(text).is_err(), "{text}");
        }
    }
}
