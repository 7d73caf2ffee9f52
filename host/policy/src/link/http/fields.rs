//! Headers and trailers, as a guest creates and reads them.

use http::{HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types::{self, HeaderError as Bad};
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult};

use super::super::CallState;
use super::ENTRY_BYTES;

/// Headers or trailers.
#[derive(Clone, Default)]
pub(super) struct Fields {
    pub(super) map: HeaderMap,
    fixed: bool,
}

impl CallState {
    pub(super) fn fields(&mut self, map: HeaderMap, fixed: bool) -> wasmtime::Result<Resource<types::Fields>> {
        self.http.hold_map(&map)?;
        Ok(self.http.push(Fields { map, fixed })?)
    }

    fn change(&mut self, fields: &Resource<types::Fields>) -> HeaderResult<&mut HeaderMap> {
        let fields: &mut Fields = self.http.get(fields)?;
        if fields.fixed { Err(Bad::Immutable.into()) } else { Ok(&mut fields.map) }
    }
}

impl types::HostFields for CallState {
    fn new(&mut self) -> wasmtime::Result<Resource<types::Fields>> {
        self.host_call()?;
        self.fields(HeaderMap::new(), false)
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<types::Fields>> {
        self.host_call().map_err(HeaderError::trap)?;
        let mut map = HeaderMap::new();
        for (name, value) in entries {
            let value = HeaderValue::try_from(value)?;
            map.try_append(named(&name)?, value).map_err(HeaderError::trap)?;
        }
        self.fields(map, false).map_err(HeaderError::trap)
    }

    fn get(&mut self, fields: Resource<types::Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        self.host_call()?;
        let fields: &mut Fields = self.http.get(&fields)?;
        Ok(match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => fields.map.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect(),
            Err(_) => Vec::new(),
        })
    }

    fn has(&mut self, fields: Resource<types::Fields>, name: String) -> wasmtime::Result<bool> {
        self.host_call()?;
        let fields: &mut Fields = self.http.get(&fields)?;
        Ok(HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| fields.map.contains_key(name)))
    }

    fn set(&mut self, fields: Resource<types::Fields>, name: String, values: Vec<Vec<u8>>) -> HeaderResult<()> {
        self.host_call().map_err(HeaderError::trap)?;
        let bytes = values.iter().map(|value| value.len() + ENTRY_BYTES).sum();
        self.http.hold(bytes).map_err(HeaderError::trap)?;
        let map = self.change(&fields)?;
        let name = named(&name)?;
        let values = values.into_iter().map(HeaderValue::try_from).collect::<Result<Vec<_>, _>>()?;
        map.remove(&name);
        for value in values {
            map.try_append(name.clone(), value).map_err(HeaderError::trap)?;
        }
        Ok(())
    }

    fn delete(&mut self, fields: Resource<types::Fields>, name: String) -> HeaderResult<()> {
        self.host_call().map_err(HeaderError::trap)?;
        let map = self.change(&fields)?;
        map.remove(named(&name)?);
        Ok(())
    }

    fn append(&mut self, fields: Resource<types::Fields>, name: String, value: Vec<u8>) -> HeaderResult<()> {
        self.host_call().map_err(HeaderError::trap)?;
        self.http.hold(name.len() + value.len()).map_err(HeaderError::trap)?;
        let map = self.change(&fields)?;
        let value = HeaderValue::try_from(value)?;
        map.try_append(named(&name)?, value).map_err(HeaderError::trap)?;
        Ok(())
    }

    fn entries(&mut self, fields: Resource<types::Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        self.host_call()?;
        let fields: &mut Fields = self.http.get(&fields)?;
        Ok(fields.map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    fn clone(&mut self, fields: Resource<types::Fields>) -> wasmtime::Result<Resource<types::Fields>> {
        self.host_call()?;
        let fields: &mut Fields = self.http.get(&fields)?;
        let map = fields.map.clone();
        self.fields(map, false)
    }

    fn drop(&mut self, fields: Resource<types::Fields>) -> wasmtime::Result<()> {
        self.dropped::<Fields, _>(&fields)
    }
}

fn named(name: &str) -> HeaderResult<HeaderName> {
    let name = HeaderName::from_bytes(name.as_bytes())?;
    // Content-Length follows from the body; the other headers belong to the connection.
    if name == http::header::CONTENT_LENGTH || !wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(&name) {
        Ok(name)
    } else {
        Err(Bad::Forbidden.into())
    }
}
