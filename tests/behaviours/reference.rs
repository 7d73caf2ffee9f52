//! The reference of the plugin contract is made from the contract.

use std::fmt::Write as _;

use landfall_tests::world::in_tests;
use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

#[test]
fn the_reference_says_what_the_contract_says() {
    let mut resolve = Resolve::new();
    resolve.push_path(in_tests("../wit/v0_1")).unwrap();
    let made = page(&resolve);
    let path = in_tests("../docs/policies/reference.md");
    if std::env::var_os("LANDFALL_RENEW_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let stands = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        stands == made,
        "wit/ has changed, and docs/policies/reference.md has not; renew it with\n  LANDFALL_RENEW_GOLDEN=1 cargo test \
         --workspace --test behaviours the_reference"
    );
}

fn page(resolve: &Resolve) -> String {
    let mut out = String::from(
        "# The plugin contract\n\nMade from `wit/v0_1`; `wit/README.md` says how it may grow. Names are written as the contract \
         has them; each language writes them its own way ([languages.md](languages.md)).\n",
    );
    for (_, package) in &resolve.packages {
        let _ = write!(out, "\n## Package `{}`\n", package.name);
        docs(&package.docs, "", &mut out);
        out.push_str("\n## Worlds\n");
        for (name, world) in &package.worlds {
            let Some(world) = resolve.worlds.get(*world) else { continue };
            let _ = write!(out, "\n### `{name}`\n");
            docs(&world.docs, "", &mut out);
            out.push('\n');
            let items = world.imports.values().map(|item| ("imports", item));
            for (does, item) in items.chain(world.exports.values().map(|item| ("exports", item))) {
                if let WorldItem::Interface { id, .. } = item {
                    let name = resolve.interfaces.get(*id).and_then(|interface| interface.name.clone());
                    let _ = writeln!(out, "- {does} `{}`", name.unwrap_or_default());
                }
            }
        }
        for (name, interface) in &package.interfaces {
            if let Some(interface) = resolve.interfaces.get(*interface) {
                of_interface(resolve, name, interface, &mut out);
            }
        }
    }
    out
}

fn of_interface(resolve: &Resolve, name: &str, interface: &Interface, out: &mut String) {
    let _ = write!(out, "\n## Interface `{name}`\n");
    docs(&interface.docs, "", out);
    for (name, function) in &interface.functions {
        let _ = write!(out, "\n### `{name}: {}`\n", signature(resolve, function));
        docs(&function.docs, "", out);
    }
    for (name, definition) in &interface.types {
        if let Some(definition) = resolve.types.get(*definition) {
            of_type(resolve, name, definition, out);
        }
    }
}

fn of_type(resolve: &Resolve, name: &str, definition: &TypeDef, out: &mut String) {
    let (kind, members): (String, Vec<(String, &Docs)>) = match &definition.kind {
        // What another interface defines is told there.
        TypeDefKind::Type(Type::Id(_)) => return,
        TypeDefKind::Record(record) => {
            let field = |field: &wit_parser::Field| format!("`{}: {}`", field.name, of(resolve, &field.ty));
            ("record".to_owned(), record.fields.iter().map(|one| (field(one), &one.docs)).collect())
        }
        TypeDefKind::Enum(cases) => {
            ("one of".to_owned(), cases.cases.iter().map(|case| (format!("`{}`", case.name), &case.docs)).collect())
        }
        TypeDefKind::Variant(variant) => {
            let case = |case: &wit_parser::Case| match &case.ty {
                Some(ty) => format!("`{}({})`", case.name, of(resolve, ty)),
                None => format!("`{}`", case.name),
            };
            ("one of".to_owned(), variant.cases.iter().map(|one| (case(one), &one.docs)).collect())
        }
        TypeDefKind::Flags(flags) => {
            ("any of".to_owned(), flags.flags.iter().map(|flag| (format!("`{}`", flag.name), &flag.docs)).collect())
        }
        TypeDefKind::Type(ty) => (format!("`{}`", of(resolve, ty)), Vec::new()),
        other => (other.as_str().to_owned(), Vec::new()),
    };
    let _ = write!(out, "\n### `{name}`: {kind}\n");
    docs(&definition.docs, "", out);
    if !members.is_empty() {
        out.push('\n');
    }
    for (member, about) in members {
        let _ = writeln!(out, "- {member}");
        docs(about, "  ", out);
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params = function.params.iter().map(|param| format!("{}: {}", param.name, of(resolve, &param.ty)));
    let params: Vec<String> = params.collect();
    let result = function.result.as_ref().map(|ty| format!(" -> {}", of(resolve, ty))).unwrap_or_default();
    format!("func({}){result}", params.join(", "))
}

/// A type as the contract writes it.
fn of(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
    let Some(definition) = resolve.types.get(*id) else { return String::new() };
    if let Some(name) = &definition.name {
        return name.clone();
    }
    match &definition.kind {
        TypeDefKind::List(inner) => format!("list<{}>", of(resolve, inner)),
        TypeDefKind::Option(inner) => format!("option<{}>", of(resolve, inner)),
        TypeDefKind::Tuple(tuple) => {
            let parts: Vec<String> = tuple.types.iter().map(|ty| of(resolve, ty)).collect();
            format!("tuple<{}>", parts.join(", "))
        }
        TypeDefKind::Result(result) => {
            let part = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| of(resolve, ty));
            match (&result.ok, &result.err) {
                (None, None) => "result".to_owned(),
                (ok, None) => format!("result<{}>", part(ok)),
                (ok, err) => format!("result<{}, {}>", part(ok), part(err)),
            }
        }
        other => other.as_str().to_owned(),
    }
}

fn docs(docs: &Docs, indent: &str, out: &mut String) {
    let Some(text) = &docs.contents else { return };
    if indent.is_empty() {
        out.push('\n');
    }
    for line in text.lines() {
        let _ = writeln!(out, "{indent}{}", line.trim_end());
    }
}
