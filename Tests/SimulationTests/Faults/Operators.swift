import DFSCore
import DFSMetadata

@testable import DFSCoordinator

// What people do to a cluster on purpose.

extension CoordinatorProcess {
  /// As `NodeRegistrar.change`.
  func decide(_ action: NodeAction, _ node: NodeID) throws {
    let isHeld = namespace.isHeld
    let (record, known) = try cluster.withState { state in
      let record = try state.membership.record(
        after: action, of: node, table: state.table,
        losses: KnownLosses(repair: state.repair, check: healing.sweep.last), isHeld: isHeld)
      return (record, state.membership[node]?.record)
    }
    guard record != known else { return }
    _ = try mutate(PutNode(node: record))
    let transitions = cluster.withState { $0.membership.decided(record) }
    world.note("c\(number): an operator decided: node \(node) is \(record.state)")
    note(transitions)
    world.decided()
  }
}

extension World {
  /// Empties a node, takes it out of the cluster when that is safe, and gives the machine a new disk.
  func drainAndRemove() {
    let isBusy = machines.contains { $0.isBusy || $0.disk == nil }
    guard !isBusy, let machine = pick(machines.filter { $0.process != nil && !$0.isImpostor }),
      let node = machine.disk?.node, decide(.drain, node)
    else { return }
    machine.isBusy = true
    tryRemoval(of: node, machine, until: now + .minutes(12))
  }

  private func tryRemoval(of node: NodeID, _ machine: Machine, until end: Moment) {
    schedule(after: .seconds(20)) { [self] in
      guard isStormy, now < end else {
        machine.isBusy = false
        activate(node)
        return
      }
      guard decide(.remove(.ifSafe), node) else {
        // A check of what it leaves behind is among what makes it safe.
        leader?.sweepGroups()
        return tryRemoval(of: node, machine, until: end)
      }
      tally.add("nodes removed")
      wipe(machine)
      schedule(after: around(.minutes(1))) { [self] in replaceDisk(machine) }
    }
  }

  /// What was called safe to take away is taken away: no fault of the disk's.
  private func wipe(_ machine: Machine) {
    guard let disk = machine.disk else { return }
    stop(machine)
    machine.disk = nil
    for group in disk.groupsWithChunks {
      for chunk in disk.chunks(in: group) {
        tell(
          .replicaRemoved(
            chunk, group, disk.node, .operatorWiped, wasGood: disk.isGood(chunk, in: group)))
      }
    }
  }

  /// Takes a node out of service for some minutes, and back.
  func maintain() {
    guard let machine = pick(machines.filter { $0.process != nil && !$0.isBusy && !$0.isImpostor }),
      let node = machine.disk?.node, decide(.maintenance, node)
    else { return }
    machine.isBusy = true
    schedule(after: .seconds(2)) { [self] in
      stop(machine)
      schedule(after: around(.minutes(5))) { [self] in
        machine.isBusy = false
        start(machine)
        activate(node)
      }
    }
  }

  /// Asks until somebody answers: a node must not stay in maintenance.
  func activate(_ node: NodeID) {
    guard !decide(.activate, node) else { return }
    schedule(after: .seconds(10)) { [self] in activate(node) }
  }

  /// A node whose disk is gone does not come back: a person says so, for the brake may hold it.
  func giveUp(_ node: NodeID) {
    guard truth.nodes[node] != nil, !decide(.remove(.forced), node) else { return }
    schedule(after: .seconds(10)) { [self] in giveUp(node) }
  }

  private func decide(_ action: NodeAction, _ node: NodeID) -> Bool {
    guard let leader else { return false }
    do {
      try leader.decide(action, node)
      return true
    } catch {
      note("an operator is told: \(error)")
      return false
    }
  }
}
