//! Fields that end at an intermediary (RFC 9110, 7.6).

use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Version};

/// How this gateway calls itself in `Via`.
const PSEUDONYM: &str = "larder";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Fields of one connection, besides those that `Connection` lists. `TE` is not
/// among them, see [`strip_request`].
const OF_ONE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
];

/// Takes off a request what was meant for this gateway alone. `TE: trailers`
/// is left, for trailers are forwarded; so are all fields that the body needs.
/// `Expect` was answered by the server.
pub fn strip_request(headers: &mut HeaderMap) {
    let trailers = headers
        .get_all(header::TE)
        .iter()
        .flat_map(elements)
        .any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    strip(headers);
    headers.remove(header::EXPECT);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes off a response what the origin meant for this gateway alone.
pub fn strip_response(headers: &mut HeaderMap) {
    strip(headers);
}

fn strip(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(elements)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !frames_the_message(name))
        .collect();
    for name in listed.iter().chain(&OF_ONE_CONNECTION) {
        headers.remove(name);
    }
    headers.remove(header::TE);
}

/// Without them a message would mean another one, whoever lists them.
fn frames_the_message(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH
}

/// Says of a message that it has passed here, and in which version of HTTP it
/// came (RFC 9110, 7.6.3).
pub fn add_via(headers: &mut HeaderMap, version: Version) {
    let protocol = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    };
    if let Ok(value) = HeaderValue::try_from(format!("{protocol} {PSEUDONYM}")) {
        headers.append(header::VIA, value);
    }
}

/// Tells the origin for whom the request is, behind what others have told.
pub fn add_forwarded_for(headers: &mut HeaderMap, client: IpAddr) {
    if let Ok(value) = HeaderValue::try_from(client.to_string()) {
        headers.append(X_FORWARDED_FOR, value);
    }
}

fn elements(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}
