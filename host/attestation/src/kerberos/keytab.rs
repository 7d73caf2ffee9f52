//! Keytab files, version 2 (MIT and Heimdal write the same): the long-term keys of the service.

use std::fmt;

use super::crypto::{AesKey, key_length};
use super::flaw::KerberosFlaw::{self, Keytab as Unreadable};
use super::flaw::on_one_short_line;

/// The AES keys in a keytab that belong to web services of one realm. Other entries are skipped.
pub struct Keytab {
    entries: Vec<Entry>,
}

struct Entry {
    realm: String,
    service: String,
    etype: i32,
    version: u32,
    /// Whether `version` is the whole 32-bit version; old writers give only the lowest 8 bits.
    whole_version: bool,
    key: AesKey,
}

impl Keytab {
    /// Parses a keytab file. It must contain at least one AES key of a web service. Keys of other services, such as
    /// that of the machine, are not used: many clients have tickets for such a service that do not count as tickets
    /// for this one.
    pub fn parse(bytes: &[u8]) -> Result<Self, KerberosFlaw> {
        let mut file = Cursor(bytes);
        match file.array()? {
            [5, 2] => {}
            [5, 1] => {
                return Err(Unreadable(
                    "it is of version 1, in the byte order of the machine that wrote it; write version 2",
                ));
            }
            _ => return Err(Unreadable("it does not begin as one")),
        }
        let (mut entries, mut found) = (Vec::new(), Vec::new());
        while !file.0.is_empty() {
            let size = i32::from_be_bytes(file.array()?);
            let record =
                file.take(usize::try_from(size.unsigned_abs()).map_err(|_| Unreadable("an entry is too large"))?)?;
            // A negative size marks a deleted entry. Zeros are unused space at the end of the file.
            if size <= 0 {
                continue;
            }
            let (etype, entry) = entry(Cursor(record))?;
            if !found.contains(&etype) {
                found.push(etype);
            }
            entries.extend(entry);
        }
        if entries.is_empty() {
            return Err(KerberosFlaw::NoAesKey { found });
        }
        let all = Self { entries };
        let found = all.principals().join(", ");
        let of_web = |entry: &Entry| entry.service.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case("HTTP/"));
        let entries: Vec<Entry> = all.entries.into_iter().filter(of_web).collect();
        let first = entries.first().ok_or(KerberosFlaw::NoHttpKey { found })?;
        if let Some(other) = entries.iter().find(|entry| entry.realm != first.realm) {
            return Err(KerberosFlaw::TwoRealms(first.realm.clone(), other.realm.clone()));
        }
        Ok(Self { entries })
    }

    /// The service principals in the keytab, `HTTP/host@REALM`, each once.
    pub fn principals(&self) -> Vec<String> {
        let mut names: Vec<_> = self.entries.iter().map(|entry| format!("{}@{}", entry.service, entry.realm)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The keys with which a ticket for this service may be encrypted: exactly one, unless the ticket does not state
    /// the version.
    pub(super) fn keys(
        &self,
        service: &str,
        realm: &str,
        etype: i32,
        version: Option<u32>,
    ) -> Result<Vec<&AesKey>, KerberosFlaw> {
        // Active Directory compares service names without case, and issues the ticket with the name as the client
        // wrote it.
        let of_service: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.service.eq_ignore_ascii_case(service) && entry.realm == realm)
            .collect();
        if of_service.is_empty() {
            return Err(KerberosFlaw::Service {
                asked: on_one_short_line(&format!("{service}@{realm}")),
                held: self.principals().join(", "),
            });
        }
        let of_type = || of_service.iter().filter(|entry| entry.etype == etype);
        let keys: Vec<_> = of_type()
            .filter(|entry| version.is_none_or(|wanted| entry.is_version(wanted)))
            .map(|entry| &entry.key)
            .collect();
        if keys.is_empty() {
            let keytab = of_type().map(|entry| entry.version).collect();
            return Err(KerberosFlaw::KeyVersion { ticket: version.unwrap_or_default(), etype, keytab });
        }
        Ok(keys)
    }
}

impl fmt::Debug for Keytab {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keytab").field("principals", &self.principals()).finish_non_exhaustive()
    }
}

impl Entry {
    fn is_version(&self, wanted: u32) -> bool {
        self.version == wanted || (!self.whole_version && self.version == wanted & 0xff)
    }
}

/// Reads one entry. Returns its encryption type, and the entry if it is an AES key.
fn entry(mut record: Cursor<'_>) -> Result<(i32, Option<Entry>), KerberosFlaw> {
    let parts = u16::from_be_bytes(record.array()?);
    let realm = record.text()?;
    let service = (0..parts).map(|_| record.text()).collect::<Result<Vec<_>, _>>()?.join("/");
    let _name_type: [u8; 4] = record.array()?;
    let _written: [u8; 4] = record.array()?;
    let [short_version] = record.array()?;
    let etype = i32::from(i16::from_be_bytes(record.array()?));
    let key = record.counted()?;
    // Newer writers append the whole version. Zero means that it is not given.
    let whole_version = record.array().ok().map(u32::from_be_bytes).filter(|version| *version != 0);
    if key_length(etype).is_none() {
        return Ok((etype, None));
    }
    let key = AesKey::new(etype, key).ok_or(Unreadable("an AES key has the wrong length"))?;
    let version = whole_version.unwrap_or_else(|| u32::from(short_version));
    Ok((etype, Some(Entry { realm, service, etype, version, whole_version: whole_version.is_some(), key })))
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], KerberosFlaw> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], KerberosFlaw> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Unreadable("it is cut off"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn counted(&mut self) -> Result<&'a [u8], KerberosFlaw> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn text(&mut self) -> Result<String, KerberosFlaw> {
        String::from_utf8(self.counted()?.to_vec()).map_err(|_| Unreadable("a name is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYTAB: &[u8] = include_bytes!("../../../../tests/vectors/kerberos/http.keytab");

    #[test]
    fn reads_what_samba_exports() {
        let keytab = Keytab::parse(KEYTAB).unwrap();
        assert_eq!(keytab.principals(), ["HTTP/localhost@FLEET.TEST"]);
        assert_eq!(keytab.keys("http/LOCALHOST", "FLEET.TEST", 18, None).unwrap().len(), 1);
        assert!(matches!(keytab.keys("HTTP/other", "FLEET.TEST", 18, Some(2)), Err(KerberosFlaw::Service { .. })));
        let flaw = keytab.keys("HTTP/localhost", "FLEET.TEST", 18, Some(9)).err().unwrap();
        assert_eq!(flaw, KerberosFlaw::KeyVersion { ticket: 9, etype: 18, keytab: vec![2] });
        assert_eq!(format!("{keytab:?}"), "Keytab { principals: [\"HTTP/localhost@FLEET.TEST\"], .. }");
    }

    #[test]
    fn rc4_only_is_refused() {
        let flaw = Keytab::parse(include_bytes!("../../../../tests/vectors/kerberos/rc4.keytab")).err().unwrap();
        assert_eq!(flaw, KerberosFlaw::NoAesKey { found: vec![23] });
    }

    #[test]
    fn cut_or_altered_files_are_errors_at_worst() {
        for length in 0..KEYTAB.len() {
            let _ = Keytab::parse(&KEYTAB[..length]);
        }
        for at in 0..KEYTAB.len() {
            for bit in 0..8 {
                let mut altered = KEYTAB.to_vec();
                altered[at] ^= 1 << bit;
                let _ = Keytab::parse(&altered);
            }
        }
        assert_eq!(Keytab::parse(b"PK").err(), Some(Unreadable("it does not begin as one")));
    }

    #[test]
    fn deleted_entries_and_short_versions() {
        // A hole of four bytes, then an entry with an 8-bit version only.
        let file = [b"\x05\x02\xff\xff\xff\xfcdead".as_slice(), &entry_of("HTTP", "R")].concat();
        let keytab = Keytab::parse(&file).unwrap();
        let version = |version| keytab.keys("HTTP/s", "R", 17, Some(version));
        assert!(version(0x107).is_ok() && version(8).is_err());
    }

    #[test]
    fn keys_of_other_services_and_of_two_realms_are_not_taken() {
        let file = |entries: &[Vec<u8>]| [b"\x05\x02".to_vec(), entries.concat()].concat();
        let keytab = Keytab::parse(&file(&[entry_of("HOST", "R"), entry_of("HTTP", "R")])).unwrap();
        assert_eq!(keytab.principals(), ["HTTP/s@R"]);
        let flaw = Keytab::parse(&file(&[entry_of("HOST", "R")])).err();
        assert_eq!(flaw, Some(KerberosFlaw::NoHttpKey { found: "HOST/s@R".to_owned() }));
        let flaw = Keytab::parse(&file(&[entry_of("HTTP", "R"), entry_of("HTTP", "S")])).err();
        assert_eq!(flaw, Some(KerberosFlaw::TwoRealms("R".to_owned(), "S".to_owned())));
    }

    /// An AES-128 key of version 7 for the service `s` of this kind.
    fn entry_of(kind: &str, realm: &str) -> Vec<u8> {
        let mut record = b"\0\x02\0\x01".to_vec();
        record.extend(realm.bytes());
        record.extend(b"\0\x04");
        record.extend(kind.bytes());
        record.extend(b"\0\x01s\0\0\0\x01\0\0\0\0\x07\0\x11\0\x10");
        record.extend([9; 16]);
        [u32::try_from(record.len()).unwrap().to_be_bytes().to_vec(), record].concat()
    }
}
