package import DFSCore

extension WireJobStatus {
  package init(_ status: JobStatus) {
    self.init()
    name = status.name
    what = status.what
    node = status.node?.rawValue ?? 0
    working = status.isWorking
    paused = status.isPaused
    steps = status.steps
    failures = status.failures
    // What is longer says no more.
    lastError = String((status.lastError ?? "").prefix(1000))
    if let progress = status.progress {
      done = progress.done
      total = progress.total ?? 0
      unit = progress.unit
    }
    rate = status.rate
    if let timeLeft = status.timeLeft { etaMs = timeLeft.wholeMilliseconds }
    pacePercent = UInt32(status.pacePercent)
    if let since = status.sinceLastStep { lastStepMs = since.wholeMilliseconds }
  }
}

extension JobStatus {
  package init(_ wire: WireJobStatus) {
    self.init(name: wire.name, what: wire.what)
    node = wire.node == 0 ? nil : NodeID(rawValue: wire.node)
    isWorking = wire.working
    isPaused = wire.paused
    steps = wire.steps
    failures = wire.failures
    lastError = wire.lastError.isEmpty ? nil : wire.lastError
    if !wire.unit.isEmpty {
      progress = JobProgress(done: wire.done, total: wire.total == 0 ? nil : wire.total, unit: wire.unit)
    }
    rate = wire.rate
    timeLeft = wire.hasEtaMs ? .milliseconds(Int64(clamping: wire.etaMs)) : nil
    pacePercent = Int(wire.pacePercent)
    sinceLastStep = wire.hasLastStepMs ? .milliseconds(Int64(clamping: wire.lastStepMs)) : nil
  }
}

extension WireJobAction {
  package init(_ action: JobAction) {
    switch action {
    case .pause: self = .pause
    case .resume: self = .resume
    case .run: self = .run
    case .pace: self = .pace
    }
  }
}

extension JobAction {
  /// Throws `.invalidArgument` for an action that was not sent, `.unimplemented` for a later version's.
  package init(_ wire: WireJobAction, pacePercent: UInt32) throws {
    switch wire {
    case .pause: self = .pause
    case .resume: self = .resume
    case .run: self = .run
    case .pace: self = .pace(percent: Int(pacePercent))
    case .unspecified: throw DFSError(.invalidArgument, "the request does not say what to do with the job")
    case .UNRECOGNIZED(let number):
      throw DFSError(.unimplemented, "this version knows no job action \(number); update it")
    }
  }

  /// The field that goes with the action; zero for all but a pace.
  package var pacePercent: UInt32 { if case .pace(let percent) = self { UInt32(clamping: percent) } else { 0 } }
}

extension Duration {
  fileprivate var wholeMilliseconds: UInt64 { UInt64(max(0, self / .milliseconds(1))) }
}
