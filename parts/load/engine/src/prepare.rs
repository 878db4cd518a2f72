//! The requests of a plan, made ready for the wire before the load begins.
//!
//! A request without variables is encoded once and its bytes are shared by all senders. One with variables is encoded
//! for each iteration, from the row, the extracted values and the built-in variables of that iteration.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use prost_reflect::MessageDescriptor;
use purlin_load_model::extract::Extraction;
use purlin_load_model::iteration::Variables;
use purlin_load_model::plan::{self, Action, Expect, MessageAction, Plan, Protocol};
use purlin_load_model::tally::{ErrorKind, Outcome};
use purlin_load_wire::http1::Sent;

use crate::Error;
use crate::encode::Encoder;
use crate::grpc::{self, Methods};
use crate::trace::Trace;
use crate::wire::Wire;

/// The requests of a plan.
pub(crate) struct Prepared {
    scenarios: Vec<Vec<Step>>,
    steps: usize,
    /// The path and headers of a WebSocket's handshake.
    handshake: Option<MessageAction>,
}

/// How many iterations are looked at to find one whose first request can be made: one a row, within these limits.
/// Random values make a difference without any rows.
const FEWEST: u64 = 100;
const TRIED: u64 = 10_000;

/// A step, ready to be sent.
pub(crate) struct Step {
    /// Which one of the plan, in the order of all scenarios.
    pub index: usize,
    /// How its answer is read.
    pub sent: Sent,
    /// How long to wait after its answer.
    pub think: Duration,
    encode: Encoder,
    protocol: Protocol,
    /// What is sent where no variable and no trace makes a difference.
    ready: Option<Wire>,
    expect: Expect,
    extract: Extraction,
    extracts: bool,
    /// The type of the message that is looked at, with gRPC.
    answer: Option<MessageDescriptor>,
}

impl Prepared {
    /// Encodes what is the same for all iterations of `plan`.
    pub(crate) fn new(plan: &Plan) -> Result<Prepared, Error> {
        let methods = match &plan.descriptors {
            Some(descriptors) => Methods::decode(descriptors).map_err(Error::Descriptors)?,
            None => Methods::default(),
        };
        let mut index = 0;
        let mut scenarios = Vec::new();
        for scenario in &plan.scenarios {
            let mut steps = Vec::new();
            for step in &scenario.steps {
                let name = &step.name;
                let step = Step::new(plan, &methods, step, index)?;
                if steps.is_empty() {
                    step.can_be_made(plan).map_err(|reason| Error::Request { step: name.clone(), reason })?;
                }
                steps.push(step);
                index += 1;
            }
            scenarios.push(steps);
        }
        let all = plan.scenarios.iter().flat_map(|scenario| &scenario.steps);
        let handshake = all.clone().find_map(|step| match &step.action {
            Action::Message(action) => Some(action.clone()),
            Action::Http(_) | Action::Grpc(_) => None,
        });
        Ok(Prepared { scenarios, steps: index, handshake })
    }

    /// How many steps there are.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// What a WebSocket's handshake says.
    pub(crate) fn handshake(&self) -> Option<Rc<MessageAction>> {
        self.handshake.clone().map(Rc::new)
    }

    /// The steps of the plan's scenario number `index`.
    pub(crate) fn scenario(&self, index: usize) -> &[Step] {
        self.scenarios.get(index).map_or(&[], Vec::as_slice)
    }
}

impl Step {
    fn new(plan: &Plan, methods: &Methods, step: &plan::Step, index: usize) -> Result<Step, Error> {
        let invalid = |reason: String| Error::Request { step: step.name.clone(), reason };
        let extract = Extraction::compile(&step.extract).map_err(|e| invalid(e.to_string()))?;
        let encode = Encoder::new(plan, methods, &step.action).map_err(invalid)?;
        let answer = encode.answer();
        let mut prepared = Step {
            index,
            sent: Sent {
                head: matches!(&step.action, Action::Http(http) if http.method == "HEAD"),
                upgrade: false,
                keep_head: !step.extract.is_empty(),
                keep_body: step.expect.contains.is_some() || extract.wants_body(),
            },
            think: step.think,
            protocol: plan.protocol,
            encode,
            ready: None,
            expect: step.expect.clone(),
            extract,
            extracts: !step.extract.is_empty(),
            answer,
        };
        if prepared.encode.is_constant() {
            prepared.ready = Some(prepared.encode.wire(&plan.variables(0), None).map_err(invalid)?);
        }
        Ok(prepared)
    }

    /// Whether some iteration can send it, as far as that is known before any answer; says why not when none can.
    fn can_be_made(&self, plan: &Plan) -> Result<(), String> {
        let rows = plan.data.as_ref().map_or(1, |data| data.rows.len() as u64);
        let tried = rows.clamp(FEWEST, TRIED);
        let mut reason = None;
        for number in 0..tried {
            match self.encode.wire(&plan.variables(number), None) {
                Ok(_) => return Ok(()),
                Err(why) => drop(reason.get_or_insert(why)),
            }
        }
        Err(format!("{} (and so it is with each of the first {tried} iterations)", reason.unwrap_or_default()))
    }

    /// The request of an iteration.
    pub(crate) fn wire(&self, variables: &Variables<'_>, trace: Option<&Trace>) -> Result<Wire, ErrorKind> {
        match (&self.ready, trace) {
            (Some(wire), None) => Ok(wire.clone()),
            // A value that an answer gave, or a row has, may not fit where the plan puts it.
            _ => self.encode.wire(variables, trace).map_err(|_| ErrorKind::Content),
        }
    }

    /// Judges an answer, and takes from it what later steps need.
    pub(crate) fn judge<'a, 'c>(
        &'a self,
        status: u16,
        header: impl Fn(&str) -> Option<&'c [u8]>,
        body: &[u8],
        variables: &mut Variables<'a>,
    ) -> Outcome {
        let expected = match self.protocol {
            Protocol::Grpc if self.expect.status.is_empty() => status == 0,
            // A message that was answered has no status to judge.
            Protocol::WebSocket => true,
            _ => self.expect.accepts(status),
        };
        if !expected {
            return Outcome::Unexpected(status, ErrorKind::Status);
        }
        let body = match (&self.answer, self.sent.keep_body) {
            (Some(kind), true) => match grpc::json(kind, body) {
                Some(json) => Cow::Owned(json),
                None => return Outcome::Unexpected(status, ErrorKind::Content),
            },
            _ => Cow::Borrowed(body),
        };
        if let Some(text) = &self.expect.contains
            && !contains(&body, text.as_bytes())
        {
            return Outcome::Unexpected(status, ErrorKind::Content);
        }
        if self.extracts {
            let Ok(values) = self.extract.read(header, &body) else {
                return Outcome::Unexpected(status, ErrorKind::Content);
            };
            values.into_iter().for_each(|(variable, value)| variables.set(variable, value));
        }
        Outcome::Answered(status)
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(body, text).is_some()
}
