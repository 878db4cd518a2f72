//! The protobuf wire format: fields of a message, one after the other.

use crate::DecodeError;

/// The value of one field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Reads a message field by field.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and value; none at the end. Groups, which nobody writes any more, are skipped.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, DecodeError> {
        let mut groups = 0_u32;
        while !self.rest.is_empty() {
            let (number, wire_type) = self.tag()?;
            let value = match wire_type {
                0 => Wire::Varint(self.varint()?),
                1 => Wire::Fixed64(self.fixed64()?),
                2 => {
                    let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
                    Wire::Bytes(self.take(length)?)
                }
                3 => {
                    groups = groups.saturating_add(1);
                    continue;
                }
                4 if groups > 0 => {
                    groups -= 1;
                    continue;
                }
                5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
                other => {
                    return Err(DecodeError::malformed(
                        format!("field {number}"),
                        format!("illegal wire type {other}"),
                    ));
                }
            };
            if groups == 0 {
                return Ok(Some((number, value)));
            }
        }
        if groups > 0 { Err(DecodeError::Truncated) } else { Ok(None) }
    }

    fn tag(&mut self) -> Result<(u32, u64), DecodeError> {
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => Ok((number, tag & 7)),
            _ => Err(DecodeError::malformed(format!("tag {tag}"), "illegal field number")),
        }
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::malformed("varint", "more than 64 bits"))
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut all = Vec::new();
        while let Some(field) = reader.field()? {
            all.push(field);
        }
        Ok(all)
    }

    #[test]
    fn reads_each_wire_type() {
        assert_eq!(fields(&[0x08, 0x96, 0x01]), Ok(vec![(1, Wire::Varint(150))]));
        assert_eq!(fields(&[0x12, 0x02, b'h', b'i']), Ok(vec![(2, Wire::Bytes(b"hi"))]));
        assert_eq!(fields(&[0x1d, 1, 0, 0, 0]), Ok(vec![(3, Wire::Fixed32(1))]));
        assert_eq!(fields(&[0x21, 1, 0, 0, 0, 0, 0, 0, 0]), Ok(vec![(4, Wire::Fixed64(1))]));
        assert_eq!(fields(&[]), Ok(vec![]));
    }

    #[test]
    fn skips_groups() {
        assert_eq!(fields(&[0x0b, 0x10, 7, 0x13, 0x14, 0x0c, 0x10, 1]), Ok(vec![(2, Wire::Varint(1))]));
        assert_eq!(fields(&[0x0b, 0x10, 7]), Err(DecodeError::Truncated));
        assert!(matches!(fields(&[0x0c]), Err(DecodeError::Malformed { .. })));
    }

    #[test]
    fn refuses_what_is_cut_or_illegal() {
        assert_eq!(fields(&[0x12, 0x03, b'h', b'i']), Err(DecodeError::Truncated));
        assert_eq!(fields(&[0x08, 0x96]), Err(DecodeError::Truncated));
        assert_eq!(
            fields(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Err(DecodeError::Truncated)
        );
        assert!(matches!(fields(&[0x00, 0x01]), Err(DecodeError::Malformed { .. })));
        assert!(matches!(
            fields(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]),
            Err(DecodeError::Malformed { .. })
        ));
    }
}
