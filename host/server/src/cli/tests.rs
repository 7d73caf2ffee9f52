use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_examples_is_understood() {
    let mut seen = 0;
    let mut texts = vec![EXAMPLES.to_owned()];
    collect_help(&Cli::command(), &mut texts);
    for line in texts.iter().flat_map(|text| text.lines()) {
        let Some(example) = line.strip_prefix("  landfall ") else { continue };
        let words = example.split("  ").next().unwrap_or_default();
        // Redirections are done by the shell.
        let words = words.split(" < ").next().unwrap_or_default();
        let words: Vec<String> = std::iter::once("landfall".to_owned())
            .chain(words_of(words))
            .map(|word| match word.as_str() {
                "TRACKING-ID" => "0197c5c1-0000-7000-8000-000000000000".to_owned(),
                _ => word,
            })
            .collect();
        assert!(Cli::try_parse_from(&words).is_ok(), "{words:?}: {:?}", Cli::try_parse_from(&words).err());
        seen += 1;
    }
    assert!(seen > 15, "only {seen} examples were found");
}

/// The words of a command as a shell splits them: a text in single quotes is one word.
fn words_of(command: &str) -> Vec<String> {
    let (mut words, mut within) = (vec![String::new()], false);
    for letter in command.trim().chars() {
        match letter {
            '\'' => within = !within,
            ' ' if !within => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn words_that_contradict_each_other_are_not_understood() {
    for words in [
        "group put g",
        "group put g --ca a --file f",
        "group put g --ca a --intermediate f",
        "enrollment put e",
        "enrollment put e --secondary f",
        "token create --role manufacturer --note n",
        "token create --role nobody --note n",
        "hub link h --capacity 1 --weight 0",
        "hub link H --capacity 1",
        "registry state a lost",
        "decision show x",
        "",
    ] {
        let words = format!("landfall {words}");
        let error = Cli::try_parse_from(words.split_whitespace()).err();
        assert!(error.is_some_and(|error| error.use_stderr()), "{words} was understood");
    }
}

#[test]
fn general_options_stand_anywhere() {
    let cli = Cli::try_parse_from(["landfall", "hub", "list", "--json", "--data", "d", "--scope", "0neA"]).unwrap();
    assert_eq!((cli.common.json, cli.common.data.to_str()), (true, Some("d")));
    assert_eq!(cli.common.scope, Some("0neA".parse().unwrap()));
}

fn collect_help(command: &clap::Command, out: &mut Vec<String>) {
    out.extend(command.get_after_help().map(|text| text.to_string()));
    for inner in command.get_subcommands() {
        collect_help(inner, out);
    }
}
