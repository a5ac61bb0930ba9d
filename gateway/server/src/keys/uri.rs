//! Where a key in hardware is: a `pkcs11:` URI (RFC 7512) in the place of the key's PEM file.

use std::fmt;
use std::path::PathBuf;

/// What begins one.
const SCHEME: &str = "pkcs11:";

/// A private key in a token, by the attributes that are read here. Others are refused: a key that was named more
/// closely than we look could be another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    /// The token's label.
    pub token: String,
    /// `CKA_LABEL`.
    pub object: Option<String>,
    /// `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// The file with the token's PIN, where it is not the one of the configuration.
    pub pin_source: Option<PathBuf>,
}

impl Uri {
    /// Whether a file's text is meant as one.
    pub fn is_one(text: &str) -> bool {
        text.trim_start().get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
    }

    /// Reads one; the error is the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let rest = text.get(SCHEME.len()..).filter(|_| Self::is_one(text)).ok_or("is no pkcs11: URI")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self { token: String::new(), object: None, id: None, pin_source: None };
        for (name, value) in attributes(path, ';')? {
            match name {
                "token" => uri.token = word(value)?,
                "object" => uri.object = Some(word(value)?),
                "id" => uri.id = Some(value),
                "type" if value == b"private" => {}
                _ => return Err(format!("has `{name}`; token, object, id and type=private are read")),
            }
        }
        for (name, value) in attributes(query, '&')? {
            match name {
                "pin-source" => {
                    let source = word(value)?;
                    uri.pin_source = Some(source.strip_prefix("file:").unwrap_or(&source).into());
                }
                // A file that names a key is copied and backed up as if it were no secret.
                "pin-value" => {
                    return Err("holds a PIN (pin-value); put that into a file of its own".to_owned());
                }
                _ => return Err(format!("has `{name}`; the module is named by silkgate.toml, [token]")),
            }
        }
        if uri.token.is_empty() || (uri.object.is_none() && uri.id.is_none()) {
            return Err("names no token, or no object of it".to_owned());
        }
        Ok(uri)
    }
}

/// `name=value`, percent-decoded; no name twice (RFC 7512 §2.3).
fn attributes(text: &str, between: char) -> Result<Vec<(&str, Vec<u8>)>, String> {
    let mut found: Vec<(&str, Vec<u8>)> = Vec::new();
    for part in text.split(between).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("has `{part}` without a value"))?;
        if found.iter().any(|(known, _)| *known == name) {
            return Err(format!("has `{name}` twice"));
        }
        found.push((
            name,
            decoded(value).ok_or_else(|| format!("has a `{name}` that is not percent-encoded"))?,
        ));
    }
    Ok(found)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else if byte.is_ascii_graphic() {
            out.push(byte);
        } else {
            return None;
        }
    }
    Some(out)
}

fn word(value: Vec<u8>) -> Result<String, String> {
    String::from_utf8(value).map_err(|_| "has a name that is not UTF-8".to_owned())
}

fn encoded(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => char::from(*b).to_string(),
        b => format!("%{b:02X}"),
    };
    bytes.iter().map(one).collect()
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}token={}", encoded(self.token.as_bytes()))?;
        if let Some(object) = &self.object {
            write!(f, ";object={}", encoded(object.as_bytes()))?;
        }
        if let Some(id) = &self.id {
            let id: String = id.iter().map(|byte| format!("%{byte:02X}")).collect();
            write!(f, ";id={id}")?;
        }
        f.write_str(";type=private")?;
        match &self.pin_source {
            // A slash is allowed in the query, and people read it.
            Some(file) => {
                let parts = file.to_string_lossy();
                let parts: Vec<String> = parts.split('/').map(|part| encoded(part.as_bytes())).collect();
                write!(f, "?pin-source={}", parts.join("/"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = "pkcs11:token=silk%20gate;object=log-1;id=%01%FF;type=private?pin-source=/etc/silk%20pin";
        let uri = Uri::parse(&format!("{text}\n")).unwrap();
        assert_eq!((uri.token.as_str(), uri.object.as_deref()), ("silk gate", Some("log-1")));
        assert_eq!(uri.id.as_deref(), Some(&[1, 0xff][..]));
        assert_eq!(uri.pin_source, Some("/etc/silk pin".into()));
        assert_eq!(uri.to_string(), text);
        assert_eq!(
            Uri::parse("PKCS11:token=a;id=%30?pin-source=file:/x").unwrap().pin_source,
            Some("/x".into())
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, why) in [
            ("pkcs11:object=log", "no token"),
            ("pkcs11:token=silkgate;type=private", "no object"),
            ("pkcs11:token=a;object=b?pin-value=1234", "holds a PIN"),
            ("pkcs11:token=a;object=b?module-path=/tmp/x.so", "silkgate.toml"),
            ("pkcs11:token=a;object=b;type=public", "`type`"),
            ("pkcs11:token=a;object=b;serial=1", "`serial`"),
            ("pkcs11:token=a;object=b;object=c", "twice"),
            ("pkcs11:token=a;object=%4", "percent"),
            ("pkcs11:token=a;object=a b", "percent"),
            ("pkcs11:token=a;object", "without a value"),
            ("https://a", "no pkcs11"),
        ] {
            let refused = Uri::parse(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        assert!(!Uri::is_one("-----BEGIN PRIVATE KEY-----"));
    }
}
