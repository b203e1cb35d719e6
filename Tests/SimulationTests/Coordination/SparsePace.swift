import DFSCore
import DFSMetadata

@testable import DFSCoordinator

/// What the sparse pace keeps: months pass from one event to the next, and what happens all the time in a real
/// cluster without a consequence (heartbeats of healthy nodes, steps of the watch that find nothing) is made up
/// for just before somebody could notice.
struct SparseTimes {
  /// Moments at which the watch looks.
  var looks: Set<Int64> = []
  /// Nodes with news for the coordinator, or the other way.
  var news: Set<NodeID> = []
  var isNewsDue = false
  var isRepairDue = false
  var repairSteps = 0
  /// When all the healthy were last heard, and by whom.
  var heard: (at: Moment, by: Int)?
}

extension CoordinatorProcess {
  /// The watch of a coordinator that has just started: nodes find it within a second, and are declared out
  /// after the grace of the start.
  func watchSparsely() {
    world.schedule(after: .seconds(1)) { [self] in
      guard isRunning else { return }
      world.look()
      for span in [Span.seconds(4), .seconds(10), .seconds(61)] { world.look(after: span) }
    }
    // Probations end, and what the storm brake holds may go, though nothing else happens.
    every(.hours(6)) { $0.world.look() }
  }
}

extension World {
  private var isSparse: Bool { scenario.pace == .sparse }

  // MARK: What is told to the pace

  /// These machines are about to fall silent: until now the leader has heard of them.
  func fallingSilent(_ silent: [Machine]) {
    guard isSparse else { return }
    for machine in silent { if let process = machine.process { beat(process) } }
    // Down after ten seconds, out after sixty; a plan for what is gone is made at once.
    for span in [Span.milliseconds(10_300), .milliseconds(60_300)] {
      schedule(after: span) { [self] in
        guard let leader, silent.contains(where: { !isHeard($0, by: leader) }) else { return }
        look(after: .milliseconds(0))
      }
    }
  }

  /// A machine that was silent is back, or the way to it.
  func heardAgain(_ machine: Machine) {
    guard isSparse else { return }
    schedule(after: .seconds(1)) { [self] in
      if let process = machine.process { contactNow(process) }
    }
  }

  /// Many may be back, or hear another coordinator.
  func allHeardAgain() {
    sparse.heard = nil
    decided()
  }

  /// An operator has decided something.
  func decided() {
    guard isSparse else { return }
    look(after: .milliseconds(100))
  }

  /// A row is durable: its members hear of it, and it may have work for repair.
  func groupChanged(_ row: PlacementGroup) {
    guard isSparse else { return }
    sparse.news.formUnion(row.members)
    newsSoon()
    if row.slots.contains(where: { $0.state != .full }) {
      sparse.repairSteps = 0
      repairSoon()
    }
    // While something drains, each group that became full lets another one move.
    if leader?.plannedFor?.draining.isEmpty == false { look(after: .milliseconds(1_100)) }
  }

  /// A node has found something that it tells.
  func hasNews(_ node: NodeID) {
    guard isSparse else { return }
    sparse.news.insert(node)
    newsSoon()
  }

  // MARK: What happens then

  private func newsSoon() {
    guard !sparse.isNewsDue else { return }
    sparse.isNewsDue = true
    schedule(after: .seconds(1)) { [self] in
      sparse.isNewsDue = false
      let nodes = sparse.news
      sparse.news = []
      for node in nodes.sorted() {
        guard let machine = machine(of: truth.nodes[node]), let process = machine.process else { continue }
        if let leader, isHeard(machine, by: leader) { contactNow(process) } else { sparse.news.insert(node) }
      }
    }
  }

  /// Repair takes steps as long as it has something to do.
  private func repairSoon() {
    guard !sparse.isRepairDue else { return }
    sparse.isRepairDue = true
    sparse.repairSteps += 1
    schedule(after: .seconds(sparse.repairSteps < 60 ? 2 : 30)) { [self] in
      sparse.isRepairDue = false
      guard let leader else { return }
      leader.repairGroups()
      let hasWork = leader.cluster.withState { !$0.table.unfinished.isEmpty || !$0.heirs.isEmpty }
      if hasWork { repairSoon() }
    }
  }

  /// A step of the watch at a time, once.
  func look(after span: Span) {
    guard isSparse else { return }
    let time = now + span
    guard sparse.looks.insert(time.milliseconds / 500).inserted else { return }
    schedule(at: time) { [self] in
      sparse.looks.remove(time.milliseconds / 500)
      look()
    }
  }

  /// The heartbeats that would have come by now, and a step of the watch.
  func look() {
    guard let leader, leader.pausedUntil.map({ $0 <= now }) ?? true else { return }
    hearAll(leader)
    leader.watchNodes()
    let hasWork = leader.cluster.withState { !$0.table.unfinished.isEmpty || !$0.heirs.isEmpty }
    if hasWork { repairSoon() }
  }

  private func isHeard(_ machine: Machine, by leader: CoordinatorProcess) -> Bool {
    machine.process != nil && machine.pausedUntil.map { $0 <= now } ?? true
      && (network.isWhole || network.connects(machine.host, leader.host))
  }

  /// The heartbeats of all that are there. Less than eight seconds later nobody could miss another one.
  private func hearAll(_ leader: CoordinatorProcess) {
    if let heard = sparse.heard, heard.by == leader.number, now - heard.at < .seconds(8) { return }
    sparse.heard = (now, leader.number)
    var strangers: [NodeProcess] = []
    let instant = instant
    let transitions = leader.cluster.withState { state in
      var transitions: [Transition] = []
      for machine in machines where isHeard(machine, by: leader) {
        guard let process = machine.process else { continue }
        guard process.stream?.coordinator === leader, !sparse.news.contains(process.node),
          let life = try? state.membership.heartbeat(process.report, now: instant)
        else {
          strangers.append(process)
          continue
        }
        if !life.isEmpty { transitions += life }
      }
      return transitions
    }
    leader.note(transitions)
    for process in strangers { contactNow(process) }
  }

  /// The last heartbeat before a silence.
  private func beat(_ process: NodeProcess) {
    guard let leader, isHeard(process.machine, by: leader), process.stream?.coordinator === leader else {
      return
    }
    let instant = instant
    leader.cluster.withState { _ = try? $0.membership.heartbeat(process.report, now: instant) }
  }

  /// One registration, where it is needed, and one heartbeat, without their time on the way.
  func contactNow(_ process: NodeProcess) {
    guard process.isRunning, let leader, isHeard(process.machine, by: leader) else { return }
    let version = leader.cluster.withState { $0.membership.version }
    defer {
      if isSparse, leader.cluster.withState({ $0.membership.version }) != version { decided() }
    }
    if process.stream?.coordinator !== leader {
      switch leader.answer({
        try leader.register(process.registration, lostChunks: process.disk.hasLostChunks)
      }) {
      case .success(let terms):
        process.registered(terms, with: leader)
      case .failure(let error): tell(.registrationRefused(error, process.machine.number))
      }
    }
    guard let stream = process.stream else { return }
    let findings = process.openFindings
    switch leader.answer({ try leader.heartbeat(process.report, findings, on: stream) }) {
    case .success(let grant):
      process.heard(grant, askedAt: process.instant, told: findings)
      sparse.news.remove(process.node)
    case .failure:
      process.endStream()
      schedule(after: .seconds(1)) { [self] in contactNow(process) }
    }
  }
}
