use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const FILES: [&str; 6] = ["api-serving.pem", "clients.pem", "internal.pem", "root.pem", "sa.key", "spiffe.pem"];

fn now() -> SystemTime {
    SystemTime::now()
}

fn names() -> ServerNames {
    ServerNames {
        dns: vec!["localhost".into(), "kubernetes.default.svc".into()],
        ips: vec![IpAddr::from(Ipv4Addr::LOCALHOST)],
    }
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_second_start_finds_what_the_first_made() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("pki");
    let first = Pki::open(&dir, now()).unwrap();
    let made = files(&dir);
    assert_eq!(made.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), FILES);
    for name in FILES {
        assert_eq!(fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let second = Pki::open(&dir, now()).unwrap();
    assert_eq!((first.root_pem(), first.token_key()), (second.root_pem(), second.token_key()));
    assert_eq!(files(&dir), made);
}

#[test]
fn a_crash_at_any_point_of_the_first_start_is_completed() {
    let order = ["root.pem", "api-serving.pem", "clients.pem", "spiffe.pem", "internal.pem", "sa.key"];
    for kept in 0..order.len() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path(), now()).unwrap();
        let made = files(dir.path());
        for name in &order[kept..] {
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        if let Some(next) = order.get(kept) {
            fs::write(dir.path().join(format!(".{next}.tmp")), "half").unwrap();
        }
        Pki::open(dir.path(), now()).unwrap();
        let completed = files(dir.path());
        assert_eq!(completed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), FILES, "{kept} kept");
        for file in made.iter().filter(|(name, _)| order[..kept].contains(&name.as_str())) {
            assert!(completed.contains(file), "{} was replaced", file.0);
        }
    }
}

#[test]
fn damage_is_refused_and_nothing_is_replaced() {
    let check = |damage: &dyn Fn(&Path), expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path(), now()).unwrap();
        damage(dir.path());
        let before = files(dir.path());
        let refused = Pki::open(dir.path(), now()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(files(dir.path()), before);
    };
    check(&|dir| fs::remove_file(dir.join("root.pem")).unwrap(), "root.pem is missing, but certificates");
    check(&|dir| fs::write(dir.join("root.pem"), "").unwrap(), "root.pem is damaged: its key");
    check(&|dir| fs::write(dir.join("sa.key"), "x").unwrap(), "sa.key is damaged");
    let copy = |from: &str, dir: &Path| assert_ne!(fs::copy(dir.join(from), dir.join("spiffe.pem")).unwrap(), 0);
    check(&|dir| copy("root.pem", dir), "spiffe.pem is damaged: it holds another authority");
    check(&|dir| copy("clients.pem", dir), "spiffe.pem is damaged: it holds another authority");
    let foreign = |dir: &Path| {
        let other = tempfile::tempdir().unwrap();
        Pki::open(other.path(), now()).unwrap();
        fs::copy(other.path().join("clients.pem"), dir.join("clients.pem")).unwrap();
    };
    check(&foreign, "clients.pem is damaged: another root signed");
    let mixed = |dir: &Path| {
        let own = fs::read_to_string(dir.join("clients.pem")).unwrap();
        let other = fs::read_to_string(dir.join("spiffe.pem")).unwrap();
        let key = own.find("-----BEGIN PRIVATE").unwrap();
        let other_key = other.find("-----BEGIN PRIVATE").unwrap();
        fs::write(dir.join("clients.pem"), format!("{}{}", &own[..key], &other[other_key..])).unwrap();
    };
    check(&mixed, "clients.pem is damaged: its certificate belongs to another key");
}

#[test]
fn an_expired_authority_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Pki::open(dir.path(), UNIX_EPOCH + 24 * HOUR).unwrap();
    let refused = Pki::open(dir.path(), now()).unwrap_err().to_string();
    assert!(refused.contains("has expired"), "{refused}");
}

#[test]
fn clients_carry_their_name_and_all_their_groups() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), now()).unwrap();
    // Long enough for each form of a DER length.
    let long = "g".repeat(300);
    for groups in [&[][..], &["system:masters"], &["a", "b", "a"], &["ä", &long, "c"]] {
        let leaf = pki.issue_client("ada", groups, HOUR, now()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf.chain[0]).unwrap();
        let found: Vec<_> = parsed.subject().iter_organization().map(|o| o.as_str().unwrap()).collect();
        assert_eq!(found, groups);
        assert_eq!(parsed.subject().iter_common_name().next().unwrap().as_str().unwrap(), "ada");
        openssl_verify(&pki, &leaf, "sslclient");
    }
    pki.issue_client("", &[], HOUR, now()).unwrap_err();
}

#[test]
fn leaves_live_no_longer_than_their_authority() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), now()).unwrap();
    let leaf = pki.issue_server(&names(), 100 * 365 * 24 * HOUR, now()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf.chain[0]).unwrap();
    assert_eq!(leaf.not_after, pki.api_serving.not_after);
    assert_eq!(
        authority::not_after(&parsed).duration_since(UNIX_EPOCH).unwrap().as_secs(),
        leaf.not_after.duration_since(UNIX_EPOCH).unwrap().as_secs()
    );
}

#[test]
fn a_serving_certificate_is_renewed_before_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), now()).unwrap();
    let start = now();
    let serving = ServingCertificate::issue(&pki, names(), start).unwrap();
    let due = serving.due();
    assert!(due > start + 59 * 24 * HOUR && due < start + 61 * 24 * HOUR);
    assert!(!serving.renew_if_due(&pki, due - HOUR).unwrap());
    assert!(serving.renew_if_due(&pki, due).unwrap());
    assert!(serving.due() > due);
}

/// `openssl verify -x509_strict` anchored at what kubeconfigs hold.
fn openssl_verify(pki: &Pki, leaf: &Leaf, purpose: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name)
    };
    let root = file("root", pki.root_pem());
    let certificate = file("leaf", &pem("CERTIFICATE", &leaf.chain[0]));
    let intermediate = file("intermediate", &pem("CERTIFICATE", &leaf.chain[1]));
    let out = Command::new("openssl")
        .args(["verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose, "-CAfile"])
        .arg(root)
        .arg("-untrusted")
        .args([intermediate, certificate])
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn openssl_accepts_all_chains_strictly() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), now()).unwrap();
    openssl_verify(&pki, &pki.issue_server(&names(), HOUR, now()).unwrap(), "sslserver");
    openssl_verify(&pki, &pki.issue_client("ada", &["a", "b"], HOUR, now()).unwrap(), "sslclient");
    openssl_verify(&pki, &pki.issue_spiffe("spiffe://td/a", HOUR, now()).unwrap(), "sslserver");
}

#[test]
fn python_connects_strictly() {
    const CLIENT: &str = "import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT
for name in ('127.0.0.1', 'localhost'):
    with socket.create_connection(('127.0.0.1', int(sys.argv[2]))) as raw:
        with context.wrap_socket(raw, server_hostname=name) as tls:
            assert tls.recv(2) == b'ok'
";
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), now()).unwrap();
    fs::write(dir.path().join("root.crt"), pki.root_pem()).unwrap();
    let leaf = pki.issue_server(&names(), HOUR, now()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(leaf.chain, leaf.key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (stream, _) = listener.accept().unwrap();
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            // A client that refuses the certificate says why itself.
            let _ = io::Write::write_all(&mut tls, b"ok");
        }
    });
    let out = Command::new("python3")
        .args(["-c", CLIENT])
        .arg(dir.path().join("root.crt"))
        .arg(port.to_string())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    server.join().unwrap();
}

#[test]
fn each_authority_is_critical_limited_and_identified() {
    use x509_parser::extensions::ParsedExtension as Ext;
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(dir.path(), now()).unwrap();
    let mut subjects = BTreeSet::new();
    for authority in [&pki.root, &pki.api_serving, &pki.clients, &pki.spiffe, &pki.internal] {
        let parsed = authority::parse(&authority.certificate).unwrap();
        let basic = parsed.basic_constraints().unwrap().unwrap();
        let root = subjects.is_empty();
        assert!(basic.critical && basic.value.ca);
        assert_eq!(basic.value.path_len_constraint, if root { None } else { Some(0) });
        let usage = parsed.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
        assert_eq!(parsed.extended_key_usage().unwrap().is_none(), root);
        let has = |want: fn(&Ext<'_>) -> bool| parsed.iter_extensions().any(|e| want(e.parsed_extension()));
        assert!(
            has(|e| matches!(e, Ext::SubjectKeyIdentifier(_))) && has(|e| matches!(e, Ext::AuthorityKeyIdentifier(_)))
        );
        assert!(subjects.insert(parsed.subject().to_string()));
    }
}
