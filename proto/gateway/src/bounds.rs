//! Bounded values that only Gateway API has, besides those of [`purlin_crd::bounds`](mod@purlin_crd::bounds).
//!
//! Source of all figures: the CRDs of Gateway API v1.6.3, standard channel.

purlin_crd::bounds! {
    pub(crate) ControllerName { "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$" }
    pub(crate) ProtocolName { "type": "string", "minLength": 1, "maxLength": 255,
        "pattern": r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$" }
    pub(crate) AddressType { "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$" }
    pub(crate) QueryValue { "type": "string", "minLength": 1, "maxLength": 1024 }
    /// A path, or what replaces it.
    pub(crate) PathValue { "type": "string", "maxLength": 1024 }
    pub(crate) CorsOrigin { "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)" }
    pub(crate) RedirectStatus { "type": "integer", "enum": [301, 302, 303, 307, 308] }
    pub(crate) Weight { "type": "integer", "format": "int32", "minimum": 0, "maximum": 1000000 }
    pub(crate) AbsoluteUri { "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?" }
    /// A named set of certificate authorities.
    pub(crate) WellKnownAuthorities { "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$" }
}
