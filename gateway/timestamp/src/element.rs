//! DER, one element at a time, borrowed: what was signed is compared and hashed as it came, never encoded anew.

use der::asn1::ObjectIdentifier;
use der::{Header, Reader as _, SliceReader, Tag, TagNumber};

use crate::TimestampError;

/// One element of DER.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: Tag,
    /// The content.
    pub(crate) value: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
}

/// The elements inside one; each is taken in order, and none may be left over.
pub(crate) struct Elements<'a>(&'a [u8]);

pub(crate) fn malformed(what: &'static str) -> TimestampError {
    TimestampError::Malformed(what)
}

/// `[number]`, constructed.
pub(crate) fn context(number: u8) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) }
}

/// `[number]`, primitive.
pub(crate) fn context_primitive(number: u8) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber::new(number) }
}

impl<'a> Elements<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The only element of `bytes`, which must have that tag.
    pub(crate) fn only(bytes: &'a [u8], tag: Tag, what: &'static str) -> Result<Element<'a>, TimestampError> {
        let mut elements = Self(bytes);
        let element = elements.next(tag, what)?;
        elements.end(what)?;
        Ok(element)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is. `der` refuses what is not DER: lengths that could be shorter, or have no end.
    pub(crate) fn any(&mut self, what: &'static str) -> Result<Element<'a>, TimestampError> {
        let read = |bytes: &'a [u8]| {
            let mut reader = SliceReader::new(bytes)?;
            let header: Header = reader.decode()?;
            let value = reader.read_slice(header.length)?;
            Ok::<_, der::Error>((header.tag, value, usize::try_from(reader.position())?))
        };
        let (tag, value, length) = read(self.0).map_err(|_| malformed(what))?;
        let (whole, rest) = self.0.split_at_checked(length).ok_or(malformed(what))?;
        self.0 = rest;
        Ok(Element { tag, value, whole })
    }

    /// The next element, which must have that tag.
    pub(crate) fn next(&mut self, tag: Tag, what: &'static str) -> Result<Element<'a>, TimestampError> {
        let element = self.any(what)?;
        if element.tag == tag { Ok(element) } else { Err(malformed(what)) }
    }

    /// The next element where it has that tag.
    pub(crate) fn optional(
        &mut self,
        tag: Tag,
        what: &'static str,
    ) -> Result<Option<Element<'a>>, TimestampError> {
        let before = self.0;
        if before.is_empty() {
            return Ok(None);
        }
        let element = self.any(what)?;
        if element.tag == tag {
            return Ok(Some(element));
        }
        self.0 = before;
        Ok(None)
    }

    /// Nothing is left.
    pub(crate) fn end(self, what: &'static str) -> Result<(), TimestampError> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed(what)) }
    }

    /// Every element left, at most `most`.
    pub(crate) fn all(mut self, most: usize, what: &'static str) -> Result<Vec<Element<'a>>, TimestampError> {
        let mut found = Vec::new();
        while !self.is_empty() {
            if found.len() == most {
                return Err(malformed(what));
            }
            found.push(self.any(what)?);
        }
        Ok(found)
    }
}

impl<'a> Element<'a> {
    /// What stands inside.
    pub(crate) fn inside(&self) -> Elements<'a> {
        Elements(self.value)
    }

    /// As an object identifier.
    pub(crate) fn oid(&self, what: &'static str) -> Result<ObjectIdentifier, TimestampError> {
        if self.tag != Tag::ObjectIdentifier {
            return Err(malformed(what));
        }
        ObjectIdentifier::from_bytes(self.value).map_err(|_| malformed(what))
    }

    /// The bytes of an INTEGER that is not negative and in its shortest form, at most 32.
    pub(crate) fn unsigned(&self, what: &'static str) -> Result<&'a [u8], TimestampError> {
        match self.value {
            [] => Err(malformed(what)),
            [first, ..] if first & 0x80 != 0 => Err(malformed(what)),
            [0, second, ..] if second & 0x80 == 0 => Err(malformed(what)),
            value if value.len() > 32 => Err(malformed(what)),
            value => Ok(value),
        }
    }

    /// An INTEGER from 0 to 2^32 − 1.
    pub(crate) fn number(&self, what: &'static str) -> Result<u32, TimestampError> {
        let bytes = self.unsigned(what)?;
        if bytes.len() > 5 {
            return Err(malformed(what));
        }
        let value = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        u32::try_from(value).map_err(|_| malformed(what))
    }
}

/// An AlgorithmIdentifier's object identifier; its parameters must be absent or NULL (RFC 5754 §2 for SHA-2).
pub(crate) fn plain_algorithm(
    element: &Element<'_>,
    what: &'static str,
) -> Result<ObjectIdentifier, TimestampError> {
    if element.tag != Tag::Sequence {
        return Err(malformed(what));
    }
    let mut parts = element.inside();
    let oid = parts.next(Tag::ObjectIdentifier, what)?.oid(what)?;
    if let Some(null) = parts.optional(Tag::Null, what)?
        && !null.value.is_empty()
    {
        return Err(malformed(what));
    }
    parts.end(what)?;
    Ok(oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_of_der_is_read() {
        let only = |bytes: &[u8]| Elements::only(bytes, Tag::OctetString, "x").is_ok();
        assert!(only(&[4, 1, 7]));
        assert!(!only(&[4, 0x81, 1, 7]), "a length that could be shorter");
        assert!(!only(&[0x24, 0x80, 4, 1, 7, 0, 0]), "a length without end (BER)");
        assert!(!only(&[4, 2, 7]), "cut off");
        assert!(!only(&[4, 1, 7, 0]), "something behind it");
        assert!(!only(&[]));
        assert!(!only(&[4, 0x84, 0xff, 0xff, 0xff, 0xff]));
    }

    #[test]
    fn integers_have_one_form() {
        let number = |value| Element { tag: Tag::Integer, value, whole: value }.number("x");
        assert_eq!(number(&[0]), Ok(0));
        assert_eq!(number(&[0, 0x80]), Ok(128));
        assert_eq!(number(&[0, 0xff, 0xff, 0xff, 0xff]), Ok(u32::MAX));
        for wrong in [&[][..], &[0x80], &[0, 1], &[1, 0, 0, 0, 0]] {
            assert!(number(wrong).is_err(), "{wrong:?}");
        }
    }
}
