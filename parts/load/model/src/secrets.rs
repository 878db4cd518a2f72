//! What a result must not show, since it is kept and handed on: of headers only the names stay, of bodies and messages
//! the sizes and the names of variables, of queries the names of parameters, of data the names of columns.
//!
//! Whether two results sent the same can then be told by a digest. It has 16 bits: enough to notice a change (one in
//! 65,536 goes unnoticed), and too few to find a password by trying, since every 65,536th guess fits.

use std::io;

use crate::plan::{Action, Piece, Plan, Template};

/// Stands for the value of a header or a cell.
const HIDDEN: &str = "[hidden]";
/// Stands for the value of a parameter.
const VALUE: &str = "…";

impl Plan {
    /// Takes out what may be secret.
    pub(crate) fn hide_secrets(&mut self) {
        for step in self.scenarios.iter_mut().flat_map(|scenario| &mut scenario.steps) {
            match &mut step.action {
                Action::Http(action) => {
                    hide_values(&mut action.headers);
                    hide_query(&mut action.path);
                    action.body.iter_mut().for_each(hide_text);
                }
                Action::Grpc(action) => {
                    hide_values(&mut action.metadata);
                    hide_text(&mut action.message);
                }
                Action::Message(action) => {
                    action.headers.iter_mut().for_each(|(_, value)| HIDDEN.clone_into(value));
                    let mut path = Template::constant(action.path.as_str());
                    hide_query(&mut path);
                    action.path = path.literals().collect();
                    hide_text(&mut action.text);
                }
            }
        }
        if let Some(data) = &mut self.data {
            data.rows = vec![vec![HIDDEN.to_owned(); data.columns.len()]];
        }
        self.tls.roots_pem = self.tls.roots_pem.as_deref().map(certificates);
    }

    /// What changes when the scenarios or the data do: four hexadecimal digits.
    pub(crate) fn digest(&self) -> String {
        let mut digest = Fnv(0xCBF2_9CE4_8422_2325);
        // Neither a plan nor a digest fails.
        let _ = serde_json::to_writer(&mut digest, &(&self.scenarios, &self.data));
        let bits = digest.0 ^ (digest.0 >> 32);
        format!("{:04x}", (bits ^ (bits >> 16)) & 0xFFFF)
    }
}

fn hide_values(headers: &mut [(String, Template)]) {
    headers.iter_mut().for_each(|(_, value)| *value = Template(vec![Piece::Text(HIDDEN.to_owned())]));
}

/// Leaves the sizes of what stands between the variables.
fn hide_text(template: &mut Template) {
    for piece in &mut template.0 {
        if let Piece::Text(text) = piece {
            *text = match text.len() {
                1 => "[1 byte]".to_owned(),
                bytes => format!("[{bytes} bytes]"),
            };
        }
    }
}

/// Leaves the path and the names of parameters. One without `=` is all value.
fn hide_query(path: &mut Template) {
    let mut place = Place::Path;
    for piece in &mut path.0 {
        if let Piece::Text(text) = piece {
            let mut shown = String::new();
            place = text.split_inclusive(['?', '&', ';', '=']).fold(place, |place, part| place.after(part, &mut shown));
            *text = shown;
        }
    }
}

#[derive(Clone, Copy)]
enum Place {
    Path,
    Name,
    Value,
}

impl Place {
    /// Shows what may be shown of `part`, which ends at the next sign that can mean something; tells what follows it.
    fn after(self, part: &str, shown: &mut String) -> Place {
        let (text, sign) = match part.char_indices().next_back() {
            Some((at, '?' | '&' | ';' | '=')) => part.split_at(at),
            _ => (part, ""),
        };
        match (self, sign) {
            (Place::Path, _) => shown.push_str(part),
            (Place::Name, "=") => shown.push_str(part),
            (Place::Name | Place::Value, "&" | ";") => {
                if !text.is_empty() && !shown.ends_with(VALUE) {
                    shown.push_str(VALUE);
                }
                shown.push_str(sign);
            }
            // What goes on is shown once, in its place.
            _ if shown.ends_with(VALUE) => {}
            _ => shown.push_str(if part.is_empty() { "" } else { VALUE }),
        }
        match (self, sign) {
            (Place::Path, "?") | (Place::Name | Place::Value, "&" | ";") => Place::Name,
            (Place::Path, _) => Place::Path,
            _ => Place::Value,
        }
    }
}

/// The certificates of a PEM file, which may have a key beside them.
fn certificates(pem: &str) -> String {
    let mut within = false;
    let lines = pem.lines().filter(|line| {
        let begins = line.contains("-----BEGIN ");
        within = if begins { line.contains("-----BEGIN CERTIFICATE-----") } else { within };
        within
    });
    lines.fold(String::new(), |all, line| all + line + "\n")
}

/// The hash of Fowler, Noll and Vo (FNV-1a), which is the same in every release: what is not kept of it is what counts.
struct Fnv(u64);

impl io::Write for Fnv {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Data, GrpcAction, MessageAction, Order};
    use crate::samples;

    /// A plan that has `s3cret` wherever there can be one.
    fn plan() -> Plan {
        let mut plan = samples::plan();
        let secret = || Template::parse("a ${uuid} s3cret").unwrap();
        let headers = || vec![("authorization".to_owned(), secret())];
        let mut step = plan.scenarios[0].steps[0].clone();
        let Action::Http(action) = &mut step.action else { panic!() };
        action.path = Template::parse("/a?token=s3cret&id=${uuid}&s3cret").unwrap();
        (action.headers, action.body) = (headers(), Some(secret()));
        let grpc = GrpcAction { path: "/a.B/C".into(), metadata: headers(), message: secret() };
        let message = MessageAction {
            path: "/echo?token=s3cret".into(),
            headers: vec![("authorization".into(), "s3cret".into())],
            text: secret(),
            answers: 1,
        };
        let with = |action| crate::plan::Step { action, ..step.clone() };
        plan.scenarios[0].steps = vec![with(Action::Grpc(grpc)), with(Action::Message(message)), step];
        let rows = vec![vec!["s3cret".to_owned()]; 3];
        plan.data = Some(Data { columns: vec!["password".into()], rows, order: Order::Random });
        let key = "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        plan.tls.roots_pem = Some(format!("{key}{certificate}{key}"));
        plan
    }

    #[test]
    fn secrets_are_not_in_a_result() {
        let mut plan = plan();
        plan.hide_secrets();
        let shown = serde_json::to_string(&plan).unwrap();
        assert!(!shown.contains("s3cret"), "{shown}");
        for kept in ["authorization", "password", "/echo?token=…", "[2 bytes]", "[7 bytes]", "BEGIN CERTIFICATE"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        let Action::Http(action) = &plan.scenarios[0].steps[2].action else { panic!() };
        assert_eq!(action.path.to_string(), "/a?token=…&id=${uuid}&…");
        assert_eq!(action.body.as_ref().unwrap().to_string(), "[2 bytes]${uuid}[7 bytes]");
    }

    #[test]
    fn a_query_keeps_its_names() {
        let check = |path: &str, expected: &str| {
            let mut template = Template::parse(path).unwrap();
            hide_query(&mut template);
            assert_eq!(template.to_string(), expected);
        };
        check("/", "/");
        check("/a=b&c", "/a=b&c");
        check("/a?", "/a?");
        check("/a?b=c=d?e&f=", "/a?b=…&f=");
        check("/a?b=c;d=e", "/a?b=…;d=…");
        check("/a?s3cret", "/a?…");
        check("/a?s3cret&&b=c", "/a?…&&b=…");
        check("/${uuid}/a?b=c${uuid}d&e=f", "/${uuid}/a?b=…${uuid}…&e=…");
        check("/a?pre${uuid}post=c&d=e", "/a?…${uuid}…&d=…");
        check("/a?${uuid}=s3cret", "/a?${uuid}=…");
    }

    #[test]
    fn another_secret_is_another_plan() {
        let digest = |plan: &Plan| plan.digest();
        let first = digest(&plan());
        assert!(first.len() == 4 && first == digest(&plan()), "{first}");
        let mut other = plan();
        let Action::Grpc(action) = &mut other.scenarios[0].steps[0].action else { panic!() };
        action.message = Template::constant("another");
        assert_ne!(digest(&other), first);
        let mut other = plan();
        other.data.as_mut().unwrap().rows[2][0] = "another".to_owned();
        assert_ne!(digest(&other), first);
        // The seed, and what only says how it is sent, are no part of it.
        assert_eq!(digest(&Plan { seed: 77, connections: 1, ..plan() }), first);
    }
}
