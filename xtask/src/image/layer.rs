//! The file system of a container: the program and its other names.

use std::io::Write as _;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::archive::digest;

/// One layer, which is all there is.
pub(crate) struct Layer {
    /// The layer as it is fetched.
    pub(super) gzip: Vec<u8>,
    /// The digest of the layer as it is unpacked.
    pub(super) diff_id: String,
}

impl Layer {
    /// The layer with this program, of this name and other names. No clock, no user and no order of
    /// a directory gets into it.
    pub(crate) fn of(program: &[u8], name: &str, other_names: &[&str]) -> Result<Self> {
        let mut tar = Builder::new(Vec::new());
        for other in other_names {
            let mut header = header(EntryType::Symlink, 0o777, 0);
            tar.append_link(&mut header, other, name)?;
        }
        let mut header = header(EntryType::Regular, 0o755, program.len() as u64);
        tar.append_data(&mut header, name, program)?;
        let tar = tar.into_inner()?;
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(&tar)?;
        Ok(Self { gzip: gzip.finish()?, diff_id: digest(&tar) })
    }
}

/// A file of root from 1970.
pub(super) fn header(entry: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(entry);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn the_program_is_there_under_three_names_and_nothing_else() {
        let layer = Layer::of(b"program", "ferrolb", &["controller", "speaker"]).unwrap();
        let mut tar = tar::Archive::new(GzDecoder::new(layer.gzip.as_slice()));
        let entry = |entry: tar::Entry<'_, _>| {
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            let (mode, size) = (entry.header().mode().unwrap(), entry.size());
            (entry.path().unwrap().display().to_string(), (mode, size, link))
        };
        let found: BTreeMap<_, _> =
            tar.entries().unwrap().map(|found| entry(found.unwrap())).collect();
        let link = || (0o777, 0, Some("ferrolb".to_owned()));
        let want = [("controller", link()), ("ferrolb", (0o755, 7, None)), ("speaker", link())];
        assert_eq!(found, want.map(|(name, entry)| (name.to_owned(), entry)).into());
    }
}
