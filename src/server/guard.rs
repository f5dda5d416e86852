//! Before any request is read: who sends it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

use super::logins::Logins;
use super::users::{Role, User};

/// Lets requests of users through, with the [`User`] in their extensions. Without users everybody
/// may everything.
#[derive(Clone)]
pub struct Guard<S> {
    pub inner: S,
    pub logins: Option<Arc<Logins>>,
}

impl<S: NamedService> NamedService for Guard<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // The service that is ready is the one to call; its clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let logins = self.logins.clone();
        Box::pin(async move {
            let user = match logins {
                None => Arc::new(User {
                    name: String::new(),
                    role: Role::ReadWrite,
                }),
                Some(logins) => {
                    let header = request.headers().get(http::header::AUTHORIZATION);
                    let header = header.and_then(|h| h.to_str().ok()).map(str::to_string);
                    match logins.who(header.as_deref()).await {
                        Ok(user) => user,
                        Err(status) => return Ok(status.into_http()),
                    }
                }
            };
            request.extensions_mut().insert(user);
            let request = request.map(|body| Body::new(body.map_err(broken_off)));
            inner.call(request).await
        })
    }
}

/// A client that cancels a request in the middle of what it sends has not sent all of it. Tonic takes a cancelled
/// body for one that has come to its end.
fn broken_off(error: Status) -> Status {
    match error.code() {
        Code::Cancelled => Status::aborted("the client broke off what it was sending"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_cancelled_is_not_whole() {
        assert_eq!(broken_off(Status::cancelled("x")).code(), Code::Aborted);
        let other = broken_off(Status::resource_exhausted("x"));
        assert_eq!(other.code(), Code::ResourceExhausted);
    }
}
