//! The catalog: every resource that is served now, built in or custom, and the documents that describe them.
//!
//! A catalog never changes; a change of a CustomResourceDefinition makes the next one, which takes the old one's
//! place in one step. So each request sees one consistent set of resources and their discovery.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use purlin_apiserver_schema::{CelProgram, Origin, ResourceDef, VersionDef, compile_rules};

use crate::error::{ApiError, ApiResult};
use crate::paths::Documents;

/// One served resource.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) def: Arc<ResourceDef>,
    /// `plural.group`: under which name objects are stored.
    pub(crate) gr: Arc<str>,
    /// Objects that were written before this revision may lack defaults of the definition, or have fields that it
    /// no longer knows; 0 where that cannot be.
    pub(crate) since: i64,
    /// Compiled CEL rules of each version; compiled when the first object needs them.
    programs: Vec<OnceLock<Result<Arc<CelProgram>, String>>>,
}

impl Resource {
    fn new(def: ResourceDef, since: i64) -> Resource {
        let gr = def.strategy.alias.map_or_else(|| def.key(), |alias| alias.resource.to_owned()).into();
        let programs = def.versions.iter().map(|_| OnceLock::new()).collect();
        Resource { def: Arc::new(def), gr, since, programs }
    }

    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.def.origin, Origin::Custom { .. })
    }

    /// The rules of the version at `index`. They compile when a definition is accepted; should those of a stored one
    /// no longer, nothing is written by them.
    pub(crate) fn program(&self, index: usize) -> ApiResult<&Arc<CelProgram>> {
        let compiled = self.programs[index].get_or_init(|| {
            let compiled = compile_rules(&self.def.versions[index].schema);
            compiled.map(Arc::new).map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())
        });
        compiled.as_ref().map_err(|why| {
            ApiError::internal(format!("the rules of {} do not compile any more: {why}", self.def.key()))
        })
    }
}

/// A resource in one of its versions.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) resource: Arc<Resource>,
    pub(crate) index: usize,
}

impl Served {
    pub(crate) fn def(&self) -> &ResourceDef {
        &self.resource.def
    }

    pub(crate) fn version(&self) -> &VersionDef {
        &self.resource.def.versions[self.index]
    }

    /// `group/version`.
    pub(crate) fn api_version(&self) -> String {
        self.def().api_version(&self.version().name)
    }
}

/// All resources, and a cache for what is published of them.
pub(crate) struct Catalog {
    built_in: Arc<Vec<Arc<Resource>>>,
    /// What is answered at once and never stored.
    reviews: Arc<Vec<Arc<Resource>>>,
    /// By the name of the definition.
    custom: BTreeMap<String, Arc<Resource>>,
    /// What discovery and OpenAPI speak of.
    published: Vec<Arc<ResourceDef>>,
    /// By (group, version, plural).
    served: HashMap<(String, String, String), Served>,
    /// What was rendered of it.
    pub(crate) documents: Documents,
}

impl Catalog {
    pub(crate) fn new(built_in: Vec<ResourceDef>, reviews: Vec<ResourceDef>) -> Catalog {
        let shared =
            |defs: Vec<ResourceDef>| Arc::new(defs.into_iter().map(|def| Arc::new(Resource::new(def, 0))).collect());
        Catalog::of(shared(built_in), shared(reviews), BTreeMap::new())
    }

    fn of(
        built_in: Arc<Vec<Arc<Resource>>>,
        reviews: Arc<Vec<Arc<Resource>>>,
        custom: BTreeMap<String, Arc<Resource>>,
    ) -> Catalog {
        let mut served = HashMap::new();
        for resource in built_in.iter().chain(custom.values()) {
            for (index, version) in resource.def.versions.iter().enumerate().filter(|(_, v)| v.served) {
                let key = (resource.def.group.clone(), version.name.clone(), resource.def.names.plural.clone());
                served.insert(key, Served { resource: Arc::clone(resource), index });
            }
        }
        let all = built_in.iter().chain(reviews.iter()).chain(custom.values());
        let published = all.map(|resource| Arc::clone(&resource.def)).collect();
        Catalog { built_in, reviews, custom, served, published, documents: Documents::default() }
    }

    /// The catalog with this custom resource in place of what the definition `name` gave before; `since` is the
    /// revision of its spec.
    pub(crate) fn with(&self, name: &str, def: ResourceDef, since: i64) -> Catalog {
        let mut custom = self.custom.clone();
        custom.insert(name.to_owned(), Arc::new(Resource::new(def, since)));
        Catalog::of(Arc::clone(&self.built_in), Arc::clone(&self.reviews), custom)
    }

    /// The catalog without the custom resource of this definition.
    pub(crate) fn without(&self, name: &str) -> Catalog {
        let mut custom = self.custom.clone();
        custom.remove(name);
        Catalog::of(Arc::clone(&self.built_in), Arc::clone(&self.reviews), custom)
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        self.served.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// A resource that is answered at once.
    pub(crate) fn review(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        let is = |r: &&Arc<Resource>| r.def.group == group && r.def.names.plural == plural;
        let resource = self.reviews.iter().find(is)?;
        let index = resource.def.versions.iter().position(|v| v.name == version)?;
        Some(Served { resource: Arc::clone(resource), index })
    }

    /// All definitions, as they are published.
    pub(crate) fn published(&self) -> &[Arc<ResourceDef>] {
        &self.published
    }

    /// A resource in the version in which it is stored, by `plural.group`.
    pub(crate) fn stored(&self, gr: &str) -> Option<Served> {
        let resource = self.resources().find(|r| &*r.gr == gr && r.def.strategy.alias.is_none())?;
        Some(Served { resource: Arc::clone(resource), index: resource.def.storage })
    }

    /// A resource by group and kind, in any version: as owner references name it.
    pub(crate) fn of_kind(&self, group: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.resources().find(|r| r.def.group == group && r.def.names.kind == kind)
    }

    /// Built-in resources first, then custom ones by name.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.built_in.iter().chain(self.custom.values())
    }
}
