//! Names that more than one part uses: domain, annotations, field managers, condition types.

/// The domain of our API groups, labels and annotations.
pub const DOMAIN: &str = "purlin.dev";
/// The namespace of purlin's own service accounts.
pub const NAMESPACE: &str = "purlin-system";
/// The GatewayClass that is there from the start.
pub const GATEWAY_CLASS: &str = "purlin";
/// `controllerName` of that class.
pub const GATEWAY_CONTROLLER: &str = "purlin.dev/gateway";
/// The annotation that carries the id (UUIDv7) of the change that an object's last write was.
pub const CHANGE: &str = "purlin.dev/change";
/// The label by which an EndpointSlice names its Service (discovery.k8s.io).
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
