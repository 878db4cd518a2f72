//! `get` and `list`.
//!
//! What is stored is sent as it is, but for its API version; it is only parsed where a selector, a Table or an
//! alias asks for it. A chunked list is true at one revision: its continue token carries it, and later pages are read
//! from the undo log.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode};
use purlin_apiserver_publish as publish;
use purlin_apiserver_schema::{Cause, FieldError, default, prune};
use purlin_resource::ApiBody;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::Call;
use crate::catalog::Served;
use crate::content::{self, Form};
use crate::error::{ApiError, ApiResult};
use crate::options;
use crate::select::Selection;
use crate::special::scale;
use crate::storage::{Filter, Key, PageQuery, ReadError, Stored, with_api_version};
use crate::verbs::Part;

impl Served {
    /// The key of an object of this resource.
    pub(crate) fn key(&self, namespace: Option<&str>, name: &str) -> Key {
        let namespaced = self.def().scope == purlin_apiserver_schema::Scope::Namespaced;
        let ns = namespace.filter(|_| namespaced).unwrap_or_default();
        Key { gr: Arc::clone(&self.resource.gr), ns: ns.into(), name: name.into() }
    }

    /// A stored body in this version.
    pub(crate) fn body(&self, body: &Arc<[u8]>) -> Arc<[u8]> {
        const HEAD: &[u8] = b"{\"apiVersion\":\"";
        let Some(rest) = body.strip_prefix(HEAD) else { return self.object(body).to_string().into_bytes().into() };
        if self.def().strategy.alias.is_some() || self.is_outdated(body) {
            return self.object(body).to_string().into_bytes().into();
        }
        let version = self.api_version();
        // What is stored may be in a version that was the storage version once.
        if rest.strip_prefix(version.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'"')) {
            return Arc::clone(body);
        }
        with_api_version(body, &version).into()
    }

    /// A stored body in this version, parsed; with the defaults that it lacks where the definition got them later.
    pub(crate) fn object(&self, body: &[u8]) -> Value {
        let mut object: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(alias) = self.def().strategy.alias {
            (alias.from_stored)(&mut object);
            return object;
        }
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), self.api_version().into());
        }
        if self.is_outdated(body) {
            prune(&mut object, &self.version().schema);
            default(&mut object, &self.version().schema);
        }
        object
    }

    /// Whether the body was stored under an earlier form of the definition.
    fn is_outdated(&self, body: &[u8]) -> bool {
        const MARK: &[u8] = b"\"resourceVersion\":\"";
        if self.resource.since == 0 {
            return false;
        }
        let digits = memchr::memmem::find(body, MARK).map(|at| &body[at + MARK.len()..]);
        let digits = digits.and_then(|rest| memchr::memchr(b'"', rest).map(|end| &rest[..end]));
        let rv = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i64>().ok());
        rv.is_some_and(|rv| rv < self.resource.since)
    }
}

pub(crate) async fn get(call: &Call, served: &Served, part: Part) -> ApiResult<Response<ApiBody>> {
    let name = call.request.name.as_deref().unwrap_or_default();
    let key = served.key(call.request.namespace.as_deref(), name);
    confirm_committed(call, parse_revision(&call.options.resource_version)?).await?;
    let stored = call.api.storage.get(&key).await?.ok_or_else(|| ApiError::not_found(served.def(), name))?;
    if part == Part::Scale {
        return Ok(content::value(StatusCode::OK, &scale::of(served, &served.object(&stored.body))));
    }
    Ok(one(call, served, StatusCode::OK, &stored.body))
}

/// 504 for a revision that nothing has reached yet: judged by what is committed, which may be ahead of what is published.
pub(crate) async fn confirm_committed(call: &Call, rv: i64) -> ApiResult<()> {
    if rv <= call.api.storage.hub().revision() {
        return Ok(());
    }
    let nothing = PageQuery { gr: "".into(), ns: None, after: None, limit: 1, at: None };
    let now = call.api.storage.page(nothing, None).await.map_err(read_error)?.rv;
    if rv > now { Err(ApiError::future_revision(rv, now)) } else { Ok(()) }
}

/// One object in the form that was asked for.
pub(crate) fn one(call: &Call, served: &Served, code: StatusCode, body: &Arc<[u8]>) -> Response<ApiBody> {
    match call.form {
        Form::Object => content::json(code, bytes::Bytes::from_owner(served.body(body))),
        form => content::value(code, &shaped(call, served, form, &[served.object(body)], None, true)),
    }
}

/// Objects as a Table or as metadata; `list` is the metadata of the list that they are of, None for a single one.
pub(crate) fn shaped(
    call: &Call,
    served: &Served,
    form: Form,
    objects: &[Value],
    list: Option<&Value>,
    headers: bool,
) -> Value {
    match (form, list, objects) {
        (Form::Table(version), list, _) => {
            let include = publish::IncludeObject::parse(&call.options.include_object).unwrap_or_default();
            let options = publish::TableOptions { version, include, headers, now: call.api.clock.unix() };
            let empty = json!({});
            let metadata = list.or_else(|| objects.first().map(|o| &o["metadata"])).unwrap_or(&empty);
            publish::table(&served.version().columns, objects, metadata, options)
        }
        (Form::Metadata(version), None, [object]) => publish::partial_object(object, version),
        (Form::Metadata(version), list, _) => publish::partial_list(objects, list.unwrap_or(&Value::Null), version),
        (Form::Object, _, [object]) => object.clone(),
        (Form::Object, ..) => Value::Null,
    }
}

/// Where a chunked list goes on.
#[derive(Serialize, Deserialize)]
struct Resume {
    /// The revision of the first page; -1 for whatever is newest.
    rv: i64,
    ns: String,
    name: String,
}

impl Resume {
    fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn parse(token: &str) -> ApiResult<Resume> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
            ApiError::bad_request("continue key is not valid: begin the list again without the parameter `continue`")
        })
    }
}

/// At which revision a list is to be true (None: the newest), and how new it has to be.
fn revision(call: &Call) -> ApiResult<(Option<i64>, i64)> {
    let options = &call.options;
    let matched = options.resource_version_match.as_str();
    let rv = parse_revision(&options.resource_version)?;
    let mut errors = Vec::new();
    let mut forbidden = |field: &str, why: &str| errors.push(FieldError::new(field, Cause::Forbidden, why));
    if !matched.is_empty() {
        let field = "resourceVersionMatch";
        if options.resource_version.is_empty() {
            forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if options.resume.is_some() {
            forbidden(field, "resourceVersionMatch is forbidden when continue is provided");
        }
        if matched == "Exact" && rv == 0 && !options.resource_version.is_empty() {
            forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
    }
    if options.send_initial_events.is_some() {
        forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    if !matches!(matched, "" | "Exact" | "NotOlderThan") {
        errors.push(options::unsupported("resourceVersionMatch", matched, "\"Exact\", \"NotOlderThan\", \"\""));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid_options("ListOptions", &errors));
    }
    if options.resume.is_some() && rv != 0 {
        return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
    }
    // A revision with a limit and no match means exactly that one: so it was before there were matches.
    let exact = matched == "Exact" || (matched.is_empty() && options.limit > 0 && rv > 0);
    Ok((exact.then_some(rv), rv))
}

pub(crate) fn parse_revision(text: &str) -> ApiResult<i64> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        ApiError::bad_request(format!("resourceVersion: Invalid value: {shown:?}: must be a whole number"))
    })
}

pub(crate) async fn list(call: &Call, served: &Served) -> ApiResult<Response<ApiBody>> {
    publish::IncludeObject::parse(&call.options.include_object).map_err(ApiError::bad_request)?;
    let selection = Selection::of(call, served)?;
    let resume = call.options.resume.as_deref().map(Resume::parse).transpose()?;
    let (exact, least) = revision(call)?;
    let at = match &resume {
        Some(resume) => Some(resume.rv).filter(|rv| *rv >= 0),
        None => exact,
    };
    let after = resume.map(|resume| (resume.ns, resume.name));
    let query = PageQuery {
        gr: Arc::clone(&served.resource.gr),
        ns: selection.namespace.as_deref().map(Into::into),
        after: after.clone(),
        limit: call.options.limit,
        at,
    };
    let page = call.api.storage.page(query, filter(&selection, served)).await.map_err(|error| {
        let mut error = match error {
            ReadError::Future(now) => ApiError::future_revision(at.unwrap_or_default(), now),
            error => read_error(error),
        };
        if error.reason == "Expired"
            && let Some((ns, name)) = after
        {
            error.message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.".into();
            error.resume = Some(Resume { rv: -1, ns, name }.token());
        }
        error
    })?;
    if page.rv < least {
        return Err(ApiError::future_revision(least, page.rv));
    }
    let mut metadata = json!({"resourceVersion": page.rv.to_string()});
    if let (true, Some(last)) = (page.more, page.items.last()) {
        let resume = Resume { rv: page.rv, ns: last.key.ns.to_string(), name: last.key.name.to_string() };
        metadata["continue"] = resume.token().into();
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    if call.form == Form::Object {
        return Ok(content::json(StatusCode::OK, plain_list(served, &metadata, &page.items)));
    }
    let objects: Vec<Value> = page.items.iter().map(|item| served.object(&item.body)).collect();
    Ok(content::value(StatusCode::OK, &shaped(call, served, call.form, &objects, Some(&metadata), true)))
}

/// The selection as a filter of stored objects; None where it keeps all.
pub(crate) fn filter(selection: &Selection, served: &Served) -> Option<Filter> {
    if selection.is_whole() {
        return None;
    }
    let (selection, served) = (selection.clone(), served.clone());
    Some(Box::new(move |stored| {
        let object = std::cell::OnceCell::new();
        selection.matches(served.def(), &stored.key, || object.get_or_init(|| served.object(&stored.body)))
    }))
}

/// A list's bytes: the stored bodies one after the other.
pub(crate) fn plain_list(served: &Served, metadata: &Value, items: &[Stored]) -> Vec<u8> {
    let bodies: Vec<Arc<[u8]>> = items.iter().map(|item| served.body(&item.body)).collect();
    let kind = Value::from(served.def().names.list_kind.as_str());
    let version = Value::from(served.api_version());
    let head = format!("{{\"kind\":{kind},\"apiVersion\":{version},\"metadata\":{metadata},\"items\":[");
    let mut out = Vec::with_capacity(head.len() + bodies.iter().map(|b| b.len() + 1).sum::<usize>() + 2);
    out.extend_from_slice(head.as_bytes());
    for (i, body) in bodies.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(body);
    }
    out.extend_from_slice(b"]}");
    out
}

pub(crate) fn read_error(error: ReadError) -> ApiError {
    match error {
        ReadError::Compacted => ApiError::expired("The resourceVersion for the provided list is too old."),
        ReadError::Future(now) => ApiError::future_revision(now + 1, now),
        ReadError::Store(error) => error.into(),
    }
}
