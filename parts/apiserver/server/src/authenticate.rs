//! Who asks: the caller that stands in the request already (in process), a client certificate, a service account's
//! token, or nobody; then whom they act as.

use http::Request;
use http::header::{AUTHORIZATION, HeaderMap};
use purlin_auth::impersonation::impersonation;
use purlin_auth::token::{ObjectRef, TokenClaims};
use purlin_auth::x509::principal_from_certificate;
use purlin_auth::{Caller, Principal};
use purlin_net::serve::ConnInfo;
use purlin_resource::ApiBody;

use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::storage::Key;

/// Takes the credentials off the request.
pub(crate) async fn caller(api: &Api, request: &mut Request<ApiBody>) -> ApiResult<Caller> {
    let mut caller = match request.extensions_mut().remove::<Caller>() {
        Some(caller) => caller,
        None => {
            let connection = request.extensions_mut().remove::<ConnInfo>();
            remote(api, connection, request.headers()).await?
        }
    };
    let asked = impersonation(request.headers()).map_err(|e| ApiError::bad_request(e.to_string()))?;
    if let Some(asked) = asked {
        for check in &asked.checks {
            api.authorize(&caller, &check.attributes())?;
        }
        caller.impersonator = Some(std::mem::replace(&mut caller.principal, asked.principal));
    }
    Ok(caller)
}

async fn remote(api: &Api, connection: Option<ConnInfo>, headers: &HeaderMap) -> ApiResult<Caller> {
    let certificate = connection.as_ref().and_then(|c| c.client_certs.as_ref()).and_then(|chain| chain.first());
    let principal = if let Some(certificate) = certificate {
        principal_from_certificate(certificate).map_err(|_| ApiError::unauthorized())?
    } else if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(ApiError::unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::unauthorized());
        }
        bearer(api, token.trim(), &[api.tokens.issuer()]).await?.principal()
    } else {
        Principal::anonymous()
    };
    Ok(Caller { principal, address: connection.map(|c| c.peer), ..Caller::default() })
}

/// What a token says; its service account, and what it is bound to, must still be those that it was issued for.
pub(crate) async fn bearer(api: &Api, token: &str, audiences: &[&str]) -> ApiResult<TokenClaims> {
    let claims = api.tokens.verify(token, audiences, api.clock.now()).map_err(|error| {
        tracing::debug!(%error, "a token was refused");
        ApiError::unauthorized()
    })?;
    let ns = &claims.subject.namespace;
    confirm_lives(api, "serviceaccounts", ns, &claims.subject.serviceaccount).await?;
    if let Some(secret) = &claims.subject.secret {
        confirm_lives(api, "secrets", ns, secret).await?;
    }
    Ok(claims)
}

/// 401 unless this very object is there and not being deleted.
async fn confirm_lives(api: &Api, gr: &str, ns: &str, reference: &ObjectRef) -> ApiResult<()> {
    let key = Key { gr: gr.into(), ns: ns.into(), name: reference.name.as_str().into() };
    let stored = api.storage.get(&key).await?.ok_or_else(ApiError::unauthorized)?;
    let object: serde_json::Value = serde_json::from_slice(&stored.body).unwrap_or_default();
    let same = object["metadata"]["uid"] == reference.uid.as_str();
    if same && object["metadata"].get("deletionTimestamp").is_none() { Ok(()) } else { Err(ApiError::unauthorized()) }
}
