//! Bodies of requests, and answers.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Serialize;
use silkgate_message::problem::{Code, Problem};

/// Tells the peer that the connection ends with this answer.
pub(super) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The most bytes that [`body`] will read of this request.
pub fn body_at_most(request: &Request, limit: usize) -> usize {
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    announced.map_or(limit, |announced: usize| announced.min(limit))
}

/// Reads a body of that content type, of at most `limit` bytes, within `seconds`. The error comes
/// with what was read.
pub async fn body(
    request: Request,
    content_type: &str,
    limit: usize,
    seconds: u64,
) -> Result<Bytes, (Problem, Vec<u8>)> {
    if !has_content_type(request.headers(), content_type) {
        let problem = Problem::new(Code::ContentTypeUnsupported).detail(format!("send {content_type}"));
        return Err((problem, Vec::new()));
    }
    any_body(request, limit, seconds).await
}

/// Reads a body of whatever content type.
pub async fn any_body(request: Request, limit: usize, seconds: u64) -> Result<Bytes, (Problem, Vec<u8>)> {
    let too_large = || Problem::new(Code::BodyTooLarge).detail(format!("the limit is {limit} bytes"));
    let stated =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|stated| stated > limit as u64) {
        // Answered before anything of it is read.
        return Err((too_large(), Vec::new()));
    }
    let mut read = Vec::new();
    let mut body = request.into_body();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::new(Code::BodyIncomplete))?;
            if let Some(data) = frame.data_ref() {
                if read.len() + data.len() > limit {
                    return Err(too_large());
                }
                read.extend_from_slice(data);
            }
        }
        Ok(())
    };
    match tokio::time::timeout(Duration::from_secs(seconds), reading).await {
        Ok(Ok(())) => Ok(read.into()),
        Ok(Err(problem)) => Err((problem, read)),
        Err(_) => {
            let problem = Problem::new(Code::BodyTimeout).detail(format!("within {seconds} s"));
            Err((problem, read))
        }
    }
}

fn has_content_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

/// A problem document (RFC 9457). What is no verdict says when to try again; a body that was not
/// read to its end takes the connection with it.
pub fn problem(problem: &Problem) -> Response {
    let mut response = bytes(problem.status, "application/problem+json", problem.to_json());
    let pause = match problem.code {
        Code::RateExceeded | Code::QuestionsExceeded | Code::Overloaded => Some("1"),
        Code::Unavailable | Code::Degraded => Some("5"),
        Code::ReadsExceeded => Some("60"),
        code if code.is_not_yet() => Some("5"),
        _ => None,
    };
    if let Some(seconds) = pause {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    let unread = matches!(problem.code, Code::BodyTooLarge | Code::BodyTimeout | Code::BodyIncomplete);
    if unread { closing(response) } else { response }
}

/// A receipt (C2SP tlog-proof).
pub fn receipt(receipt: Vec<u8>) -> Response {
    bytes(200, "text/plain; charset=utf-8", receipt)
}

/// A JSON answer.
pub fn json(status: u16, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => bytes(status, "application/json", body),
        Err(_) => problem(&Problem::new(Code::Unavailable)),
    }
}

/// An answer of that status, content type and body.
pub fn bytes(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The answer where there is nothing.
pub async fn not_found() -> Response {
    problem(&Problem::new(Code::NotFound))
}

/// The answer to another method.
pub async fn method_not_allowed() -> Response {
    problem(&Problem::new(Code::MethodNotAllowed))
}
