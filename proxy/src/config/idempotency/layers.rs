//! What is said of one choice, by the route, its preset, the top of the file and its preset: the nearest counts.

use saga_config::yaml::Pointer;

use crate::config::raw::idempotency::{Preset, Rules};

/// A choice and where it was written; `None`: it is a preset's or the default.
#[derive(Clone, Debug)]
pub(super) struct Chosen<T> {
    pub(super) value: T,
    pub(super) at: Option<Pointer>,
}

/// The layers, the nearest first.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    layers: Vec<(Option<Pointer>, &'a Rules)>,
    preset: Preset,
    /// What a mistake hangs at that nobody wrote.
    holder: Pointer,
}

impl<'a> Layers<'a> {
    /// `route` and `top`: what was written, and where. `presets` gives those of [`Presets`](super::Presets).
    pub(super) fn new(
        route: Option<(Pointer, &'a Rules)>,
        top: Option<(Pointer, &'a Rules)>,
        presets: impl Fn(Preset) -> &'a Rules,
    ) -> Self {
        let holder = [&route, &top]
            .into_iter()
            .flatten()
            .next()
            .map_or_else(|| Pointer::root().child("idempotency"), |(at, _)| at.clone());
        let mut layers = Vec::new();
        let mut chosen = None;
        for (at, rules) in route.into_iter().chain(top) {
            layers.push((Some(at), rules));
            if let Some(preset) = rules.preset {
                layers.push((None, presets(preset)));
                chosen = chosen.or(Some(preset));
            }
        }
        layers.push((None, presets(Preset::Ietf)));
        Self { layers, preset: chosen.unwrap_or(Preset::Ietf), holder }
    }

    /// The nearest preset.
    pub(super) const fn preset(&self) -> Preset {
        self.preset
    }

    /// The nearest choice of what stands under `path` below `idempotency`.
    pub(super) fn find<T>(&self, path: &[&str], get: impl Fn(&'a Rules) -> Option<T>) -> Option<Chosen<T>> {
        self.layers.iter().find_map(|(at, rules)| {
            let value = get(rules)?;
            let at = at.as_ref().map(|at| path.iter().fold(at.clone(), |at, token| at.child(token)));
            Some(Chosen { value, at })
        })
    }

    /// Like [`find`](Self::find), with what counts if nobody says anything.
    pub(super) fn choose<T>(&self, path: &[&str], get: impl Fn(&'a Rules) -> Option<T>, default: T) -> Chosen<T> {
        self.find(path, get).unwrap_or(Chosen { value: default, at: None })
    }

    /// Where to point for a choice that may not have been written.
    pub(super) fn place<T>(&self, chosen: &Chosen<T>, name: &str) -> Pointer {
        chosen.at.clone().unwrap_or_else(|| self.holder.child(name))
    }
}
