//! Sending: the intent first, then the request.

use saga_config::saga::{Auth, Frozen};

use super::{
    super::{
        entry::{By, Direction, FrozenRequest, What},
        render::{MAX_KEPT_BYTES, body_holds_secrets, size},
        state::{Forward, call_step, undo},
        turn::{Effect as Perform, Reads, SendEffect, UndoFacts, UndoKnows},
    },
    legs::Leg,
    work::Work,
};

pub(super) fn is_service(auth: Auth) -> bool {
    auth == Auth::Service
}

impl Work<'_> {
    /// A start: the intent, and the request. A request that cannot be rendered is not sent.
    pub(super) fn start(&mut self, leg: Leg) {
        match leg.direction {
            Direction::Forward => self.start_forward(leg),
            Direction::Undo => self.start_undo(leg),
        }
    }

    /// Asks again for an answer: no start.
    pub(super) fn ask(&mut self, leg: Leg) {
        match self.request(leg) {
            Err(fault) => self.cannot_render(leg, fault),
            Ok(request) => {
                let of = self.which(leg);
                self.emit(What::Asking { of });
                self.send(leg, request);
            }
        }
    }

    /// The undo's request, from what is known now.
    pub(super) fn render_undo(&self, i: usize) -> Result<FrozenRequest, String> {
        let Some(undo) = undo(self.step(i)) else { return Err("it has no undo".to_owned()) };
        let leg = Leg::undo(i);
        let request = self.machine.scope().request(&undo.call, leg.reach(), &self.key(leg), None, self.upstreams)?;
        match size(&request) {
            bytes if bytes > MAX_KEPT_BYTES => Err(format!("it has {bytes} bytes, and the most is {MAX_KEPT_BYTES}")),
            _ => Ok(request),
        }
    }

    fn start_forward(&mut self, leg: Leg) {
        let request = match self.request(leg) {
            Err(fault) => return self.cannot_render(leg, fault),
            Ok(request) => request,
        };
        let with_intent = undo(self.step(leg.step)).is_some_and(|undo| undo.frozen == Frozen::WithIntent);
        let undo = match with_intent && self.state(leg.step).frozen.is_none() {
            false => None,
            true => match self.render_undo(leg.step) {
                Ok(undo) => Some(undo),
                // What cannot be undone is not done.
                Err(fault) => return self.cannot_render(leg, format!("its undo: {fault}")),
            },
        };
        self.intend(leg, undo, request);
    }

    fn start_undo(&mut self, leg: Leg) {
        // A new generation has a new key, which may stand in the request.
        let is_new = self.call(leg).generation > 1 && self.call(leg).number == 0;
        let rendered = if is_new { Some(self.render_undo(leg.step)) } else { None };
        let (undo, request) = match (rendered, self.state(leg.step).frozen.clone()) {
            (Some(Ok(request)), _) => (Some(request.clone()), request),
            (Some(Err(fault)), _) => return self.cannot_render(leg, fault),
            (None, Some(frozen)) => (None, frozen),
            (None, None) => return self.cannot_render(leg, "it needs what the step's answer did not give".to_owned()),
        };
        self.intend(leg, undo, request);
    }

    fn intend(&mut self, leg: Leg, undo: Option<FrozenRequest>, request: FrozenRequest) {
        let bound = self.binds_secrets(leg).then(|| request.clone());
        let kept = bound.as_ref().map_or(0, size) + undo.as_ref().map_or(0, size);
        if bound.is_some() && kept > MAX_KEPT_BYTES {
            let fault = format!("with its undo it has {kept} bytes, and the most is {MAX_KEPT_BYTES}");
            return self.cannot_render(leg, fault);
        }
        let (of, start) = (self.which(leg), self.call(leg).number.saturating_add(1));
        self.emit(What::Sending { of, start, undo, request: bound });
        self.send(leg, request);
    }

    /// Whether a start binds the secrets of the request's body, once and for all sends of the generation.
    fn binds_secrets(&self, leg: Leg) -> bool {
        let holds_secrets = || self.rules(leg).is_some_and(|rules| body_holds_secrets(rules.call));
        leg.direction == Direction::Forward && self.call(leg).request.is_none() && holds_secrets()
    }

    /// A step's request is rendered each time, with the same result, unless it was bound to secrets; an undo's was frozen.
    fn request(&self, leg: Leg) -> Result<FrozenRequest, String> {
        match leg.direction {
            Direction::Forward => {
                if let Some(bound) = &self.call(leg).request {
                    return Ok(FrozenRequest::clone(bound));
                }
                let rules = self.rules(leg).ok_or("there is no such call")?;
                let attempt = self.call(leg).sends.saturating_add(1);
                self.machine.scope().request(rules.call, leg.reach(), &self.key(leg), Some(attempt), self.upstreams)
            }
            Direction::Undo => self.state(leg.step).frozen.clone().ok_or_else(|| "its request was not kept".to_owned()),
        }
    }

    fn cannot_render(&mut self, leg: Leg, fault: String) {
        let reason = format!("the request cannot be made: {fault}");
        match leg.direction {
            Direction::Forward if self.call(leg).is_unresolved() => self.leave(leg, reason, true),
            Direction::Forward => self.refuse(leg.step, 0, reason, By::Rule),
            Direction::Undo => {
                let step = self.path(leg.step);
                self.emit(What::UndoFailed { step, status: 0, reason });
            }
        }
    }

    fn send(&mut self, leg: Leg, request: FrozenRequest) {
        let Some(rules) = self.rules(leg) else { return };
        let call = self.call(leg);
        let send = SendEffect {
            of: self.which(leg),
            key: self.key(leg),
            attempt: call.sends,
            first_sent: call.first_sent.filter(|_| call.sends > 1),
            request,
            service_auth: is_service(rules.call.auth),
            effect: rules.effect,
            resend: rules.resends,
            resolve: leg.direction == Direction::Forward && self.only_asks(),
            undo: (leg.direction == Direction::Undo).then(|| self.facts(leg.step)),
            reads: self.reads(leg),
            timeout: rules.call.timeout,
        };
        self.perform(Perform::Send(Box::new(send)));
    }

    /// What the definition reads of the answer. One that accepts a step is journalled whole.
    fn reads(&self, leg: Leg) -> Reads {
        let Some(step) = call_step(self.step(leg.step)) else { return Reads::ALL };
        let is_kept = step.later.is_some() || step.compensate.as_ref().is_some_and(|undo| undo.frozen == Frozen::WithAcceptance);
        let (outcome, outputs): (_, &[_]) = match leg.direction {
            Direction::Forward if is_kept => return Reads::ALL,
            Direction::Forward => (&step.call.outcome, &step.output),
            Direction::Undo => match &step.compensate {
                Some(undo) => (&undo.call.outcome, &[]),
                None => return Reads::ALL,
            },
        };
        let reads = |part: &str| {
            let path = ["response", part];
            let says = [&outcome.failure, &outcome.pending, &outcome.success];
            says.into_iter().flatten().any(|expression| expression.touches(&path))
                || outputs.iter().any(|(_, template)| template.touches(&path))
        };
        Reads { headers: reads("headers"), body: reads("body") }
    }

    /// What a participant's Refrain is told of the step that is undone.
    fn facts(&self, i: usize) -> UndoFacts {
        let step = self.state(i);
        let knows = match step.forward {
            Forward::Done { .. } => UndoKnows::Done,
            _ => UndoKnows::Unknown,
        };
        // A step that only an operator says was done was perhaps never sent. The earlier the time, the less is presumed from it.
        let first_sent = step.call.first_sent.unwrap_or(self.machine.state.created_at);
        UndoFacts { of: self.key(Leg::forward(i)), knows, first_sent }
    }
}
