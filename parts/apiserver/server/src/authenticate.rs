//! Who asks: the caller that stands in the request already (in process), a client certificate, a service account's
//! token, or nobody; then whom they act as.

use http::Request;
use http::header::{AUTHORIZATION, HeaderMap};
use purlin_auth::impersonation::impersonation;
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
        let token = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer ")).ok_or_else(ApiError::unauthorized)?;
        bearer(api, token.trim(), &[api.tokens.issuer()]).await?
    } else {
        Principal::anonymous()
    };
    Ok(Caller { principal, address: connection.map(|c| c.peer), ..Caller::default() })
}

/// The service account of a token, which must still be the one that it was issued to.
pub(crate) async fn bearer(api: &Api, token: &str, audiences: &[&str]) -> ApiResult<Principal> {
    let claims = api.tokens.verify(token, audiences, api.clock.now()).map_err(|error| {
        tracing::debug!(%error, "a token was refused");
        ApiError::unauthorized()
    })?;
    let account = &claims.subject.serviceaccount;
    let key = Key {
        gr: "serviceaccounts".into(),
        ns: claims.subject.namespace.as_str().into(),
        name: account.name.as_str().into(),
    };
    let stored = api.storage.get(&key).await?.ok_or_else(ApiError::unauthorized)?;
    let object: serde_json::Value = serde_json::from_slice(&stored.body).unwrap_or_default();
    let same = object["metadata"]["uid"] == account.uid.as_str();
    if same && object["metadata"].get("deletionTimestamp").is_none() {
        Ok(claims.principal())
    } else {
        Err(ApiError::unauthorized())
    }
}
