//! The values of a YAML text with where they are, for those who edit or show it.

use std::borrow::Cow;
use std::ops::Range;

use serde_saphyr::granit_parser::{self, BorrowedInput, Event, Parser, StructureStyle};

/// A value in the text, with where it is.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Bytes of a scalar or of a collection in flow style; empty for a null that is not written.
    pub(super) span: Range<usize>,
    /// Column of the first byte, from 0.
    pub(super) column: usize,
    pub(super) kind: Kind<'a>,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// Another value by its anchor.
    Alias,
    Mapping(StructureStyle, Vec<(Node<'a>, Node<'a>)>),
    Scalar(Cow<'a, str>),
    Sequence(StructureStyle, Vec<Node<'a>>),
}

impl<'a> Node<'a> {
    /// The documents of a text that was already read once, which bounds their nesting.
    pub(super) fn documents(text: &'a str) -> Option<Vec<Self>> {
        let options = granit_parser::options! { emit_comments: false };
        let mut parser = Parser::new_from_str_with_options(text, options);
        let mut documents = Vec::new();
        loop {
            let (event, span) = parser.next_event()?.ok()?;
            if event == Event::StreamEnd {
                return Some(documents);
            }
            if event.is_node() {
                documents.push(Self::read(
                    &mut parser,
                    event,
                    span.byte_range()?,
                    span.start.col(),
                )?);
            }
        }
    }

    fn read<T: BorrowedInput<'a>>(
        parser: &mut Parser<'a, T>,
        event: Event<'a>,
        mut span: Range<usize>,
        column: usize,
    ) -> Option<Self> {
        let mut children = Vec::new();
        if matches!(event, Event::SequenceStart(..) | Event::MappingStart(..)) {
            loop {
                let (event, at) = parser.next_event()?.ok()?;
                if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
                    span.end = at.byte_range()?.end;
                    break;
                }
                children.push(Self::read(parser, event, at.byte_range()?, at.start.col())?);
            }
        }
        let kind = if let Event::Scalar(text, ..) = event {
            Kind::Scalar(text)
        } else if let Event::SequenceStart(style, ..) = event {
            Kind::Sequence(style, children)
        } else if let Event::MappingStart(style, ..) = event {
            let mut entries = Vec::new();
            let mut children = children.into_iter();
            while let (Some(key), Some(value)) = (children.next(), children.next()) {
                entries.push((key, value));
            }
            Kind::Mapping(style, entries)
        } else {
            Kind::Alias
        };
        Some(Self { span, column, kind })
    }

    pub(super) fn entry(&self, name: &str) -> Option<&(Self, Self)> {
        let Kind::Mapping(_, entries) = &self.kind else { return None };
        entries.iter().find(|(key, _)| key.text() == Some(name))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            Kind::Alias | Kind::Mapping(..) | Kind::Sequence(..) => None,
        }
    }

    /// Whether it holds nothing, whichever way that is written.
    pub(super) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Alias => false,
            Kind::Mapping(style, entries) => *style == StructureStyle::Flow && entries.is_empty(),
            Kind::Scalar(text) => matches!(text.as_ref(), "" | "~" | "null"),
            Kind::Sequence(style, items) => *style == StructureStyle::Flow && items.is_empty(),
        }
    }

    /// The first byte that is written of it.
    pub(super) fn start(&self) -> usize {
        match &self.kind {
            Kind::Mapping(StructureStyle::Block, entries) => {
                entries.first().map_or(self.span.start, |(key, _)| key.start())
            }
            Kind::Sequence(StructureStyle::Block, items) => {
                items.first().map_or(self.span.start, Self::start)
            }
            Kind::Alias | Kind::Mapping(..) | Kind::Scalar(_) | Kind::Sequence(..) => {
                self.span.start
            }
        }
    }

    /// Where the scalars in it are, keys left out.
    pub(super) fn scalars(&self) -> Vec<Range<usize>> {
        match &self.kind {
            Kind::Alias => Vec::new(),
            Kind::Mapping(_, entries) => {
                entries.iter().flat_map(|(_, value)| value.scalars()).collect()
            }
            Kind::Scalar(_) => vec![self.span.clone()],
            Kind::Sequence(_, items) => items.iter().flat_map(Self::scalars).collect(),
        }
    }

    /// The byte after the last one that is written of it.
    pub(super) fn end(&self) -> usize {
        match &self.kind {
            // Collections in block style end where the parser notices, which may be far below.
            Kind::Mapping(StructureStyle::Block, entries) => {
                let ends = entries.iter().flat_map(|(key, value)| [key.end(), value.end()]);
                ends.max().unwrap_or(self.span.start)
            }
            Kind::Sequence(StructureStyle::Block, items) => {
                items.iter().map(Self::end).max().unwrap_or(self.span.start)
            }
            // So does a null that is not written; its key says where it is.
            Kind::Scalar(_) if self.span.is_empty() => 0,
            Kind::Alias | Kind::Mapping(..) | Kind::Scalar(_) | Kind::Sequence(..) => self.span.end,
        }
    }
}
