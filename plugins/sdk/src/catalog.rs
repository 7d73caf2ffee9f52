//! What the host knows beyond the candidates: in a component it is asked, in a native test the
//! [`Catalogue`](crate::testing::Catalogue) of the test answers.

#[cfg(any(not(target_arch = "wasm32"), feature = "testing"))]
pub(crate) use crate::testing::asked::{hub_label, hub_labels};

#[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
pub(crate) use crate::bindings::base::landfall::policy::catalog::{hub_label, hub_labels};

/// How many devices are placed at a path or below it. Asks the host.
///
/// ```
/// use landfall_plugin::testing::Catalogue;
///
/// let catalogue = Catalogue::new().group(["eu", "berlin"], 12);
/// let run = catalogue.run(|_| landfall_plugin::group_count(&["eu"]));
/// assert_eq!(run.answer, 12);
/// ```
pub fn group_count<S: AsRef<str>>(path: &[S]) -> u64 {
    let path: Vec<String> = path.iter().map(|name| name.as_ref().to_owned()).collect();
    #[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
    return crate::bindings::base::landfall::policy::catalog::group_count(&path);
    #[cfg(any(not(target_arch = "wasm32"), feature = "testing"))]
    return crate::testing::asked::group_count(&path);
}
