//! The bytes within a gzip file: all of its members, and whether anything lies behind them.
//!
//! The rule: as `gzip` does, zeros behind the last member are padding, and other bytes there are
//! left out and told of. A member that begins is read to its end, whose checksum is verified.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Reads the members one after the other.
pub(super) struct GzipMembers<R> {
    /// `None` once the last one has ended.
    member: Option<GzDecoder<R>>,
    /// Whether bytes that are no gzip data follow the last member.
    pub(super) trailing: bool,
}

impl<R: BufRead> GzipMembers<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            member: Some(GzDecoder::new(source)),
            trailing: false,
        }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(ended) = self.member.take() else {
                break;
            };
            let mut source = ended.into_inner();
            skip_zeros(&mut source)?;
            match source.fill_buf()? {
                [] => {}
                // The second byte may not have been read yet.
                [0x1f] | [0x1f, 0x8b, ..] => self.member = Some(GzDecoder::new(source)),
                _ => self.trailing = true,
            }
        }
        Ok(0)
    }
}

fn skip_zeros(source: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = source.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let more = zeros > 0 && zeros == bytes.len();
        source.consume(zeros);
        if !more {
            return Ok(());
        }
    }
}
