//! `landfall:policy@0.1`: the bindings, the host's implementation of the imports, and calls of the exports.
//!
//! Types are compared when a component is loaded ([`link`]), and the exported functions of a world are looked up once,
//! by index. A call then needs only one look-up of a function that is known to exist.
//!
//! Inputs are lent to the bindings and not copied: a list of 64 hubs is passed without an allocation in the host.

mod convert;

use bindings::exports::landfall::policy::{control, grouping, hub_selection};
use bindings::landfall::policy::{catalog, log, types};
use landfall_domain::decision::call::{Fault, HubHandle, Outcome, PlaceInput, Placement, SelectInput};
use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, HasSelf, Instance, InstancePre, Lift, Linker, Lower, TypedFunc,
};

use super::{CallState, LinkError, Linked, http, wasi};
use crate::engine::PolicyEngine;
use crate::image::{Description, Problem};
use crate::log::{LogLine, LogSource};

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        reason = "generated from the WIT, which has the documentation"
    )]
    wasmtime::component::bindgen!({
        path: "../../wit/v0_1",
        world: "policy",
        ownership: Borrowing { duplicate_if_necessary: true },
        imports: { default: trappable },
    });
}

struct Component0_1 {
    pre: InstancePre<CallState>,
    describe: ComponentExportIndex,
    configure: ComponentExportIndex,
    select_hub: Option<ComponentExportIndex>,
    place: Option<ComponentExportIndex>,
}

type Describe = ((), (control::Description,));
type Configure<'a> = ((&'a str,), (Result<(), Vec<control::Problem>>,));
type SelectHub<'a> =
    ((types::Call<'a>, types::Device<'a>, &'a [types::Hub<'a>]), (Result<hub_selection::Outcome, types::Fault>,));
type Place<'a> = ((types::Call<'a>, types::Device<'a>, types::Hub<'a>), (Result<grouping::Placement, types::Fault>,));

/// Links a component and compares its types with the contract.
pub(super) fn link(engine: &PolicyEngine, component: &Component) -> Result<Box<dyn Linked>, LinkError> {
    let mut linker = imports(engine)?;
    http::add_to_linker(&mut linker).map_err(import)?;
    let pre = linker.instantiate_pre(component).map_err(import)?;

    let exports = Exports { component };
    let selects = exports.interface("hub-selection");
    let places = exports.interface("grouping");
    Ok(Box::new(Component0_1 {
        describe: exports.function("control", "describe")?,
        configure: exports.function("control", "configure")?,
        select_hub: selects.then(|| exports.function("hub-selection", "select-hub")).transpose()?,
        place: places.then(|| exports.function("grouping", "place")).transpose()?,
        pre,
    }))
}

/// Links a program to the imports that a pure policy gets.
pub(super) fn link_program(engine: &PolicyEngine, component: &Component) -> Result<InstancePre<CallState>, LinkError> {
    imports(engine)?.instantiate_pre(component).map_err(import)
}

fn imports(engine: &PolicyEngine) -> Result<Linker<CallState>, LinkError> {
    let mut linker = Linker::new(engine.wasm());
    log::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state).map_err(import)?;
    catalog::add_to_linker::<_, HasSelf<CallState>>(&mut linker, |state| state).map_err(import)?;
    wasi::add_to_linker(&mut linker).map_err(import)?;
    Ok(linker)
}

fn import(error: wasmtime::Error) -> LinkError {
    LinkError::Import { version: VERSION, detail: format!("{error:#}") }
}

impl Linked for Component0_1 {
    fn component(&self) -> &Component {
        self.pre.component()
    }

    fn instantiate(&self, store: &mut Store<CallState>) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store)
    }

    fn check(&self, store: &mut Store<CallState>, instance: &Instance) -> Result<(), LinkError> {
        let differs = |function: &str, result: wasmtime::Result<()>| {
            result.map_err(|error| LinkError::Export {
                version: VERSION,
                function: function.to_owned(),
                detail: difference(&error),
            })
        };
        differs("control/describe", typed::<Describe>(instance, &mut *store, &self.describe).map(drop))?;
        differs("control/configure", typed::<Configure<'_>>(instance, &mut *store, &self.configure).map(drop))?;
        if let Some(index) = &self.select_hub {
            differs("hub-selection/select-hub", typed::<SelectHub<'_>>(instance, &mut *store, index).map(drop))?;
        }
        if let Some(index) = &self.place {
            differs("grouping/place", typed::<Place<'_>>(instance, &mut *store, index).map(drop))?;
        }
        Ok(())
    }

    fn describe(&self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Description> {
        let (description,) = typed::<Describe>(instance, &mut *store, &self.describe)?.call(store, ())?;
        Ok(convert::description(description))
    }

    fn configure(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        settings: &str,
    ) -> wasmtime::Result<Result<(), Vec<Problem>>> {
        let configure = typed::<Configure<'_>>(instance, &mut *store, &self.configure)?;
        let (answer,) = configure.call(store, (settings,))?;
        Ok(answer.map_err(|problems| problems.into_iter().map(convert::problem).collect()))
    }

    fn select_hub(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        input: &SelectInput,
    ) -> wasmtime::Result<Result<Outcome, Fault>> {
        let index = self.select_hub.as_ref().ok_or(NotExported)?;
        let select_hub = typed::<SelectHub<'_>>(instance, &mut *store, index)?;
        let lent = convert::LentDevice::new(&input.device);
        let hubs: Vec<_> = input.candidates.iter().map(convert::hub).collect();
        let (answer,) = select_hub.call(store, (convert::call(&input.call), lent.device(), &hubs))?;
        Ok(answer.map(convert::outcome).map_err(convert::fault))
    }

    fn place(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        input: &PlaceInput,
    ) -> wasmtime::Result<Result<Placement, Fault>> {
        let index = self.place.as_ref().ok_or(NotExported)?;
        let place = typed::<Place<'_>>(instance, &mut *store, index)?;
        let lent = convert::LentDevice::new(&input.device);
        let hub = convert::hub((HubHandle(0), &input.hub, &input.candidate));
        let (answer,) = place.call(store, (convert::call(&input.call), lent.device(), hub))?;
        Ok(answer.map(convert::placement).map_err(convert::fault))
    }
}

impl types::Host for CallState {}

impl log::Host for CallState {
    fn enabled(&mut self, level: log::Level) -> wasmtime::Result<bool> {
        self.host_call()?;
        Ok(self.recorder.keeps(convert::level(level)))
    }

    fn emit(&mut self, level: log::Level, message: String, fields: Vec<types::LabelResult>) -> wasmtime::Result<()> {
        self.host_call()?;
        self.recorder.line(LogLine {
            source: LogSource::Log,
            level: convert::level(level),
            message,
            fields: fields.into_iter().map(convert::label).collect(),
        });
        Ok(())
    }
}

impl catalog::Host for CallState {
    fn hub_labels(&mut self, hub: u32) -> wasmtime::Result<Vec<types::LabelResult>> {
        self.host_call()?;
        Ok(self.hub_labels(HubHandle(hub))?.iter().map(convert::label_out).collect())
    }

    fn hub_label(&mut self, hub: u32, key: String) -> wasmtime::Result<Option<String>> {
        self.host_call()?;
        let labels = self.hub_labels(HubHandle(hub))?;
        Ok(labels.iter().find(|label| label.key == key).map(|label| label.value.clone()))
    }

    fn group_count(&mut self, path: Vec<String>) -> wasmtime::Result<u64> {
        self.host_call()?;
        self.group_count(path)
    }
}

/// Looks a function up by its index; fails if its type differs.
fn typed<F: Signature>(
    instance: &Instance,
    store: &mut Store<CallState>,
    index: &ComponentExportIndex,
) -> wasmtime::Result<TypedFunc<F::Params, F::Results>> {
    instance.get_typed_func(store, index)
}

/// The error of the engine without its outermost message, which only says that a function was looked up.
fn difference(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    let rest = causes.get(1..).filter(|rest| !rest.is_empty()).unwrap_or(&causes);
    rest.join(": ")
}

trait Signature {
    type Params: ComponentNamedList + Lower;
    type Results: ComponentNamedList + Lift;
}

impl<P: ComponentNamedList + Lower, R: ComponentNamedList + Lift> Signature for (P, R) {
    type Params = P;
    type Results = R;
}

struct Exports<'a> {
    component: &'a Component,
}

impl Exports<'_> {
    fn interface(&self, name: &str) -> bool {
        self.index(name).is_some()
    }

    fn function(&self, interface: &str, function: &str) -> Result<ComponentExportIndex, LinkError> {
        let missing = || LinkError::Export {
            version: VERSION,
            function: format!("{interface}/{function}"),
            detail: "it is not exported".into(),
        };
        let interface = self.index(interface).ok_or_else(missing)?;
        self.component.get_export_index(Some(&interface), function).ok_or_else(missing)
    }

    fn index(&self, interface: &str) -> Option<ComponentExportIndex> {
        self.component.get_export_index(None, format!("landfall:policy/{interface}@{FULL_VERSION}"))
    }
}

/// A call of a function that the image does not export. The host checks this before a call; the error is for other
/// callers.
#[derive(Debug, thiserror::Error)]
#[error("the plugin does not export this interface")]
pub(super) struct NotExported;

const VERSION: &str = "0.1";
const FULL_VERSION: &str = "0.1.0";
