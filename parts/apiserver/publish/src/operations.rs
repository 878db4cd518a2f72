//! The operations of a group version, as OpenAPI v3 path items.
//!
//! kubectl reads from them whether the server knows `fieldValidation` and `dryRun` (the parameters of the PATCH
//! operation of a kind), so they are said in full with each operation.

use purlin_apiserver_schema::{Origin, ResourceDef, VersionDef};
use serde_json::{Map, Value, json};

use crate::definitions::{
    DELETE_OPTIONS, GVK, PATCH, STATUS, gvk, kind_name, list_name, reference, subresource_kind_name,
};
use crate::groups::{GroupVersion, Subresource, namespaced, subresources};

/// A query parameter: name, type, description.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = ("dryRun", "string", "With All, the request is processed but nothing is stored.");
const FIELD_MANAGER: Parameter =
    ("fieldManager", "string", "The name of the writer, at most 128 printable characters; server-side apply needs it.");
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What happens to unknown and duplicate fields: Ignore, Warn (the default) or Strict, which refuses them.",
);
const FORCE: Parameter = ("force", "boolean", "Server-side apply takes over fields that others own.");
const GRACE: Parameter = ("gracePeriodSeconds", "integer", "How long the object may take to end; 0 is at once.");
const ORPHAN: Parameter = ("orphanDependents", "boolean", "Deprecated: use propagationPolicy.");
const PROPAGATION: Parameter =
    ("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground.");
const PRETTY: Parameter = ("pretty", "string", "With true, the answer is indented.");
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Whether a watch sends bookmarks."),
    ("continue", "string", "Where to go on: the value that came with the part before."),
    ("fieldSelector", "string", "Only objects whose fields are so."),
    ("labelSelector", "string", "Only objects whose labels are so."),
    ("limit", "integer", "At most so many objects; the rest follows with `continue`."),
    ("resourceVersion", "string", "The version from which to list or watch."),
    ("resourceVersionMatch", "string", "What resourceVersion means: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Whether a watch begins with all objects and a bookmark after them."),
    ("timeoutSeconds", "integer", "When the call ends, whatever happens."),
    ("watch", "boolean", "Whether to send events instead of a list."),
];
const CREATE: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const APPLY: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
const DELETE: &[Parameter] = &[DRY_RUN, GRACE, ORPHAN, PROPAGATION];

/// The answers of success: status and description.
const OK: (&str, &str) = ("200", "OK");
const CREATED: (&str, &str) = ("201", "Created");
const ACCEPTED: (&str, &str) = ("202", "Accepted");

const OBJECT_TYPES: &[&str] = &["application/json", "application/yaml"];
const CUSTOM_PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// All path items of a group version.
pub(crate) fn paths(known: &GroupVersion<'_>) -> Map<String, Value> {
    let mut paths = Map::new();
    for (def, version) in &known.resources {
        Resource { known, def, version }.paths(&mut paths);
    }
    paths
}

/// How a verb of the API is an operation of OpenAPI: verb, method, `x-kubernetes-action`, word of the operationId.
type Operation = (&'static str, &'static str, &'static str, &'static str);

const COLLECTION: &[Operation] = &[
    ("list", "get", "list", "list"),
    ("create", "post", "post", "create"),
    ("deletecollection", "delete", "deletecollection", "deleteCollection"),
];
const ITEM: &[Operation] = &[
    ("get", "get", "get", "read"),
    ("update", "put", "put", "replace"),
    ("patch", "patch", "patch", "patch"),
    ("delete", "delete", "delete", "delete"),
];
const SUBRESOURCE_CREATE: &[Operation] = &[("create", "post", "post", "create")];

struct Resource<'a> {
    known: &'a GroupVersion<'a>,
    def: &'a ResourceDef,
    version: &'a VersionDef,
}

/// The kind that an operation is about.
#[derive(Clone)]
struct Kind<'a> {
    schema: String,
    gvk: Value,
    verbs: &'a [&'a str],
    /// `Namespaced`, the kind and the subresource: the end of the operationId.
    id: String,
    /// `Widget`, `scale of Widget`.
    words: String,
}

impl Resource<'_> {
    fn paths(&self, paths: &mut Map<String, Value>) {
        let (def, version) = (self.def, self.version);
        let root = format!("/{}", self.known.path());
        let base = if namespaced(def) {
            format!("{root}/namespaces/{{namespace}}/{}", def.names.plural)
        } else {
            format!("{root}/{}", def.names.plural)
        };
        let scope = if namespaced(def) { "Namespaced" } else { "" };
        let kind = Kind {
            schema: kind_name(def, version),
            gvk: gvk(def, version, &def.names.kind),
            verbs: def.verbs,
            id: format!("{scope}{}", def.names.kind),
            words: def.names.kind.clone(),
        };
        if namespaced(def) && def.verbs.contains(&"list") {
            let id = format!("{}ForAllNamespaces", def.names.kind);
            let everywhere = Kind { id, verbs: &["list"], ..kind.clone() };
            self.item(paths, format!("{root}/{}", def.names.plural), COLLECTION, &everywhere);
        }
        self.item(paths, base.clone(), COLLECTION, &kind);
        self.item(paths, format!("{base}/{{name}}"), ITEM, &kind);
        for subresource in subresources(def, version) {
            let kind = self.subresource(subresource, scope);
            let path = format!("{base}/{{name}}/{}", subresource.name);
            let operations = if subresource.verbs.contains(&"create") { SUBRESOURCE_CREATE } else { ITEM };
            self.item(paths, path, operations, &kind);
        }
    }

    fn subresource(&self, subresource: &Subresource, scope: &str) -> Kind<'static> {
        let (def, version) = (self.def, self.version);
        let (schema, gvk) = match subresource.gvk {
            None => (kind_name(def, version), gvk(def, version, &def.names.kind)),
            Some(gvk @ (group, version, kind)) => {
                (subresource_kind_name(gvk), json!({"group": group, "version": version, "kind": kind}))
            }
        };
        Kind {
            schema,
            gvk,
            verbs: subresource.verbs,
            id: format!("{scope}{}{}", def.names.kind, capitalized(subresource.name)),
            words: format!("{} of {}", subresource.name, def.names.kind),
        }
    }

    fn item(&self, paths: &mut Map<String, Value>, path: String, operations: &[Operation], kind: &Kind<'_>) {
        let mut item = Map::new();
        for (verb, method, action, word) in operations.iter().filter(|(verb, ..)| kind.verbs.contains(verb)) {
            item.insert((*method).to_owned(), self.operation(verb, action, word, kind));
        }
        if item.is_empty() {
            return;
        }
        let mut parameters = Vec::new();
        for (name, description) in [("name", "The object's name."), ("namespace", "The object's namespace.")] {
            if path.contains(&format!("{{{name}}}")) {
                parameters.push(json!({
                    "name": name, "in": "path", "required": true, "description": description,
                    "schema": {"type": "string", "uniqueItems": true},
                }));
            }
        }
        parameters.push(parameter(PRETTY));
        item.insert("parameters".to_owned(), Value::Array(parameters));
        paths.insert(path, Value::Object(item));
    }

    fn operation(&self, verb: &str, action: &str, word: &str, kind: &Kind<'_>) -> Value {
        let patches = if self.def.origin == Origin::BuiltIn { PATCHES } else { CUSTOM_PATCHES };
        let list = list_name(self.def, self.version);
        let object = Some((&*kind.schema, OBJECT_TYPES, true));
        let options = Some((DELETE_OPTIONS, OBJECT_TYPES, false));
        let (parameters, body, answers, answer): (Vec<_>, _, &[_], &str) = match verb {
            "list" => (LIST.to_vec(), None, &[OK], &list),
            "create" => (CREATE.to_vec(), object, &[OK, CREATED, ACCEPTED], &kind.schema),
            "update" => (CREATE.to_vec(), object, &[OK, CREATED], &kind.schema),
            "patch" => (APPLY.to_vec(), Some((PATCH, patches, true)), &[OK, CREATED], &kind.schema),
            "delete" => (DELETE.to_vec(), options, &[OK, ACCEPTED], STATUS),
            "deletecollection" => {
                let parameters = LIST.iter().filter(|(name, ..)| !["allowWatchBookmarks", "watch"].contains(name));
                (parameters.chain(DELETE).copied().collect(), options, &[OK], STATUS)
            }
            _ => (Vec::new(), None, &[OK], &kind.schema),
        };
        let content = |schema: &str, types: &[&str]| -> Value {
            Value::Object(types.iter().map(|ty| ((*ty).to_owned(), json!({"schema": reference(schema)}))).collect())
        };
        let mut responses = Map::new();
        for (code, description) in answers {
            let response = json!({"description": description, "content": content(answer, OBJECT_TYPES)});
            responses.insert((*code).to_owned(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));

        let mut out = Map::new();
        out.insert("tags".to_owned(), json!([self.tag()]));
        out.insert("description".to_owned(), Value::from(format!("{verb} {}", kind.words)));
        out.insert("operationId".to_owned(), Value::from(self.operation_id(word, &kind.id)));
        if !parameters.is_empty() {
            out.insert("parameters".to_owned(), parameters.into_iter().map(parameter).collect());
        }
        if let Some((schema, types, required)) = body {
            let mut body = Map::new();
            body.insert("content".to_owned(), content(schema, types));
            if required {
                body.insert("required".to_owned(), Value::Bool(true));
            }
            out.insert("requestBody".to_owned(), Value::Object(body));
        }
        out.insert("responses".to_owned(), Value::Object(responses));
        out.insert("x-kubernetes-action".to_owned(), Value::from(action));
        out.insert(GVK.to_owned(), kind.gvk.clone());
        Value::Object(out)
    }

    /// `createAppsV1NamespacedDeployment`, `deleteAppsV1CollectionNamespacedDeployment`.
    fn operation_id(&self, word: &str, end: &str) -> String {
        let (word, collection) = match word.strip_suffix("Collection") {
            Some(word) => (word, "Collection"),
            None => (word, ""),
        };
        let group: String = match self.known.group {
            "" => "Core".to_owned(),
            group => group.trim_end_matches(".k8s.io").split(['.', '-']).map(capitalized).collect(),
        };
        format!("{word}{group}{}{collection}{end}", capitalized(self.known.version))
    }

    /// `apps_v1`.
    fn tag(&self) -> String {
        let group = self.known.group.trim_end_matches(".k8s.io").replace(['.', '-'], "_");
        format!("{}_{}", if group.is_empty() { "core" } else { &group }, self.known.version)
    }
}

fn parameter((name, ty, description): Parameter) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": ty, "uniqueItems": true}})
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
