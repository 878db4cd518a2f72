//! The schema of `metadata`, which every object has and no CustomResourceDefinition describes.
//!
//! The fields of ObjectMeta (meta/v1) with their list types, as server-side apply and OpenAPI need them.

use std::sync::{Arc, LazyLock};

use indexmap::IndexMap;

use crate::{Checks, Format, ListType, MapType, PatchStrategy, Schema, Strategic, Type};

static OBJECT_META: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(build()));

/// The schema of ObjectMeta.
pub fn object_meta_schema() -> Arc<Schema> {
    OBJECT_META.clone()
}

/// The same, borrowed.
pub(crate) fn object_meta() -> &'static Schema {
    &OBJECT_META
}

fn build() -> Schema {
    let mut meta = object([
        ("annotations", strings().doc("Free text by key; not used to select objects.")),
        ("creationTimestamp", time().doc("When the object was created; set by the server.")),
        ("deletionGracePeriodSeconds", int64().doc("Seconds that the object had to end by itself.")),
        ("deletionTimestamp", time().doc("When deletion was asked for; set by the server.")),
        (
            "finalizers",
            string()
                .listed(ListType::Set)
                .merged(None)
                .doc("Names that have to be removed before a deleted object is gone."),
        ),
        ("generateName", string().doc("Prefix of a name that the server completes.")),
        ("generation", int64().doc("Counts the changes of the desired state; set by the server.")),
        ("labels", strings().doc("Short text by key, by which objects are selected.")),
        ("managedFields", managed_fields().listed(ListType::Atomic).doc("Which writer owns which fields.")),
        ("name", string().doc("Name, unique among the objects of the kind in a namespace.")),
        ("namespace", string().doc("The namespace of the object; empty where the kind has none.")),
        (
            "ownerReferences",
            owner_reference()
                .listed(ListType::Map(vec!["uid".into()]))
                .merged(Some("uid"))
                .doc("Objects that this one depends on; it is deleted when all of them are gone."),
        ),
        ("resourceVersion", string().doc("The state of the object; compared on a write, opaque otherwise.")),
        ("selfLink", string().doc("No longer set.")),
        ("uid", string().doc("Identifies the object over its whole life; set by the server.")),
    ]);
    meta.reference = Some("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta".into());
    meta.doc = Some("Standard metadata that every object has.".into());
    meta
}

fn managed_fields() -> Schema {
    let fields = Schema {
        ty: Type::Object,
        preserve_unknown: true,
        map: MapType::Atomic,
        reference: Some("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1".into()),
        ..Schema::default()
    };
    let mut entry = object([
        ("apiVersion", string().doc("The version in which the fields are named.")),
        ("fieldsType", string().doc("How the fields are written: FieldsV1.")),
        ("fieldsV1", fields.doc("The set of fields.")),
        ("manager", string().doc("Who owns the fields.")),
        ("operation", string().doc("Apply or Update.")),
        ("subresource", string().doc("The subresource that was written, if any.")),
        ("time", time().doc("When the set of fields last changed.")),
    ]);
    entry.reference = Some("io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry".into());
    entry
}

fn owner_reference() -> Schema {
    let mut owner = object([
        ("apiVersion", string().doc("API version of the owner.")),
        ("blockOwnerDeletion", boolean().doc("Whether foreground deletion of the owner waits for this object.")),
        ("controller", boolean().doc("Whether the owner is the controller of this object.")),
        ("kind", string().doc("Kind of the owner.")),
        ("name", string().doc("Name of the owner.")),
        ("uid", string().doc("UID of the owner.")),
    ]);
    owner.required = ["apiVersion", "kind", "name", "uid"].map(Into::into).into();
    owner.map = MapType::Atomic;
    owner.reference = Some("io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference".into());
    owner
}

fn object<const N: usize>(fields: [(&str, Schema); N]) -> Schema {
    let properties: IndexMap<_, _> = fields.map(|(name, schema)| (name.into(), Arc::new(schema))).into_iter().collect();
    Schema { ty: Type::Object, properties, ..Schema::default() }
}

fn scalar(ty: Type) -> Schema {
    Schema { ty, ..Schema::default() }
}

pub(crate) fn string() -> Schema {
    scalar(Type::String)
}

fn boolean() -> Schema {
    scalar(Type::Boolean)
}

fn int64() -> Schema {
    Schema { format: Some("int64".into()), ..scalar(Type::Integer) }
}

fn time() -> Schema {
    let checks = Checks { format: Some(Format::DateTime), ..Checks::default() };
    Schema { format: Some("date-time".into()), checks: Some(Box::new(checks)), ..string() }
}

fn strings() -> Schema {
    Schema { ty: Type::Object, additional: Some(Arc::new(string())), ..Schema::default() }
}

impl Schema {
    /// The same with a description.
    pub(crate) fn doc(mut self, text: &str) -> Self {
        self.doc = Some(text.into());
        self
    }

    /// A list of these.
    fn listed(self, list: ListType) -> Self {
        Schema { ty: Type::Array, items: Some(Arc::new(self)), list, ..Schema::default() }
    }

    /// The same, merged by strategic merge patch.
    fn merged(mut self, key: Option<&str>) -> Self {
        self.strategic = Some(Box::new(Strategic { strategy: PatchStrategy::Merge, merge_key: key.map(Into::into) }));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_has_the_fields_and_list_types_of_object_meta() {
        let meta = object_meta_schema();
        assert_eq!(meta.properties.len(), 15);
        assert_eq!(meta.properties["finalizers"].list, ListType::Set);
        assert_eq!(meta.properties["ownerReferences"].list, ListType::Map(vec!["uid".into()]));
        let items = meta.properties["managedFields"].items.as_ref().unwrap();
        assert!(items.properties["fieldsV1"].preserve_unknown);
    }
}
