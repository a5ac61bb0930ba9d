//! Files that pages ask for: style and script, which the program carries.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::http;

/// `GET /assets/{name}`
pub async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", include_str!("../../assets/style.css")),
        "icon.svg" => ("image/svg+xml", include_str!("../../assets/icon.svg")),
        "files.js" => ("text/javascript; charset=utf-8", include_str!("../../assets/files.js")),
        "prove.js" => ("text/javascript; charset=utf-8", include_str!("../../assets/prove.js")),
        _ => return http::not_found().await,
    };
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    response
}
