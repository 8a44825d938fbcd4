//! Somebody who speaks HTTP to the server: anonymous, signed in, or with an API key.

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Somebody at the other end of the wire.
#[derive(Clone, Debug)]
pub struct Actor {
    client: reqwest::Client,
    base: String,
    headers: HeaderMap,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null when it is empty.
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body, when the status is the wanted one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// The stable code of the problem document, when the status is the wanted one and the answer is one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{}",
            self.text
        );
        let body = self.json();
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(
            body["request_id"].as_str(),
            self.headers["x-request-id"].to_str().ok(),
            "{body}"
        );
        body["code"].as_str().unwrap().to_owned()
    }
}

impl Actor {
    /// Somebody without a credential. `base` is such as `http://127.0.0.1:8080`.
    pub fn anonymous(base: &str) -> Self {
        // reqwest asks for a provider of cryptography even where it speaks plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(std::time::Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            client,
            base: base.to_owned(),
            headers: HeaderMap::new(),
        }
    }

    /// The same client with a session's token in its cookie.
    #[must_use]
    pub fn with_session(&self, token: &str) -> Self {
        self.with_header(COOKIE.as_str(), &format!("plinth_session={token}"))
    }

    /// The same client with a bearer token.
    #[must_use]
    pub fn with_bearer(&self, token: &str) -> Self {
        self.with_header(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    /// The same client with one more header on every request.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut actor = self.clone();
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        actor.headers.insert(name, HeaderValue::from_str(value).unwrap());
        actor
    }

    /// The same client with another header line of a name that it may have already.
    #[must_use]
    pub fn and_header(&self, name: &str, value: &str) -> Self {
        let mut actor = self.clone();
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        actor.headers.append(name, HeaderValue::from_str(value).unwrap());
        actor
    }

    /// A request with a JSON body, or none.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, path, body)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    /// The same, for tests in which the server may be away.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .headers(self.headers.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        Self::answer(request).await
    }

    /// A request whose body is sent as it is, under that content type.
    pub async fn send_raw(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .headers(self.headers.clone())
            .header("content-type", content_type)
            .body(body);
        Self::answer(request)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            text: response.text().await?,
        })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// PUT without a body.
    pub async fn put(&self, path: &str) -> Answer {
        self.send(Method::PUT, path, None).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }
}
