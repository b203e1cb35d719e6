import DFSClient
import DFSCore

/// The state of the cluster on one screen: first whether everything is safe, then why, at the end what a
/// person has to do.
struct StatusReport {
  let status: ClusterStatus
  let nodes: [NodeStatus]
  let style: TextStyle

  /// More nodes than this are not listed one by one; those with something to tell always are, up to as many.
  private static let mostNodes = 20

  var lines: [String] {
    var lines = [verdict, ""] + HumanText.table(facts) + [""] + nodeLines
    if !status.actions.isEmpty {
      lines += ["", style.bold("needs a person:")]
      lines += status.actions.map { style.yellow("  ! ") + HumanText.name($0) }
    }
    if !status.warnings.isEmpty {
      lines += ["", "worth knowing:"]
      lines += status.warnings.map { "  - " + HumanText.name($0) }
    }
    return lines
  }

  private var verdict: String {
    switch status.safety {
    case .safe:
      style.green("everything is safe") + (status.chunks == 0 ? "" : ": every chunk has its copies") + proviso
    case .attention: style.yellow("everything is safe, but a person is needed") + proviso
    case .atRisk: style.yellow("at risk") + ": \(risk)"
    case .unreadable: style.red("not everything can be read") + ": \(loss)"
    }
  }

  /// Chunks that the coordinator before this one had found missing are not known before its first check.
  private var proviso: String {
    status.check == nil && status.chunks > 0 ? ", as far as is known before the first check" : ""
  }

  private var risk: String {
    var parts: [String] = []
    if status.chunksOnOneCopy > 0 { parts.append("\(chunks(status.chunksOnOneCopy)) on one copy") }
    if status.chunksOnTwoCopies > 0 { parts.append("\(chunks(status.chunksOnTwoCopies)) on two copies") }
    if parts.isEmpty, status.chunksAtRisk > 0 { parts.append("\(chunks(status.chunksAtRisk)) lack copies") }
    if status.groupsUnwritable > 0 {
      parts.append(
        "\(groups(status.groupsUnwritable)) of \(status.groups) \(status.groupsUnwritable == 1 ? "takes" : "take") "
          + "no new chunks")
    }
    return parts.joined(separator: ", ")
  }

  private var loss: String {
    var parts: [String] = []
    if status.chunksUnreadable > 0 {
      parts.append("\(chunks(status.chunksUnreadable)) without a copy in contact")
    } else if status.groupsUnreadable > 0 {
      parts.append("\(groups(status.groupsUnreadable)) without a full member in contact")
    }
    if let missing = status.check?.missingChunks, missing > 0 {
      parts.append("the last check missed \(chunks(missing))")
    }
    return parts.joined(separator: ", ")
  }

  private var facts: [[String]] {
    var facts = [
      [
        "cluster",
        "\(status.cluster), dfsd \(status.version), up for \(HumanText.duration(status.uptime)), epoch \(status.epoch), "
          + "revision \(status.revision)",
      ],
      ["datanodes", nodeCounts], ["copies", copies], ["repair", repair],
      ["scrub", scrub], ["check", check], ["metadata", metadata], ["deleted", deleted],
      [
        "content",
        "\(files) in \(directories), \(status.fileBytes); \(chunks(status.chunks)) take \(status.stored)",
      ],
      ["space", "\(status.capacity) raw, \(status.free) free, \(status.usable) usable for new files"],
      ["policy", "\(HumanText.count(status.replicas, "copy", "copies")) of each chunk of \(chunkSize)"],
    ]
    if status.isHeld {
      facts.append(["held", style.yellow("the metadata was restored: nothing is deleted until it is released")])
    }
    return facts
  }

  private var chunkSize: String { status.chunkSize?.description ?? "?" }
  private var files: String { "\(status.files) \(status.files == 1 ? "file" : "files")" }
  private var directories: String {
    "\(status.directories) \(status.directories == 1 ? "directory" : "directories")"
  }
  private func chunks(_ count: UInt64) -> String { "\(count) \(count == 1 ? "chunk" : "chunks")" }
  private func groups(_ count: Int) -> String { HumanText.count(count, "group", "groups") }

  private var nodeCounts: String {
    var text = "\(status.nodesUp) up, \(status.nodesDown) down, \(status.nodesOut) out"
    let others = [
      (status.nodesDraining, "draining"), (status.nodesMaintenance, "in maintenance"),
      (status.nodesSuspect, "not trusted"),
    ].filter { $0.0 > 0 }
    if !others.isEmpty { text += "; " + others.map { "\($0.0) \($0.1)" }.joined(separator: ", ") }
    return text
  }

  private var copies: String {
    let (none, one, two) = (status.chunksUnreadable, status.chunksOnOneCopy, status.chunksOnTwoCopies)
    if none == 0, one == 0, two == 0, status.chunksAtRisk == 0 {
      return status.groupsDegraded == 0
        ? "none missing" : "none missing of a chunk; \(groups(status.groupsDegraded)) not full"
    }
    return "chunks on no copy: \(none), on one: \(one), on two: \(two); \(groups(status.groupsDegraded)) not full"
  }

  private var repair: String { RepairText.line(status.repair, otherwise: waiting ?? "nothing to do") }

  /// Copies are missing on nodes that may still come back: nothing is copied for them yet. One in maintenance is never
  /// given up, and others not by themselves when they are many: then a person is told so.
  private var waiting: String? {
    guard status.chunksAtRisk > 0, status.nodesDown > 0 else { return nil }
    let silent = nodes.count { $0.state == .down }
    guard silent > 0 else { return "waits until nodes in maintenance are back" }
    return "waits until nodes that are down are back or given up"
      + (status.nodesDown > silent ? ", and those in maintenance are back" : "")
  }

  private var scrub: String {
    let part = "\(Int(status.scrub.part * 100)) % of the present passes done"
    guard let since = status.scrub.sinceOldestPass else { return "not every node has completed a first pass; \(part)" }
    return "every copy was verified within \(HumanText.duration(since)); \(part)"
  }

  private var check: String {
    guard let check = status.check else { return "none yet since the coordinator started" }
    return "\(HumanText.duration(check.sinceEnd)) ago; " + CheckText.findings(check)
  }

  private var metadata: String {
    let whole = status.metadataCopies.filter(\.isComplete)
    guard !whole.isEmpty else { return "on the coordinator's disk alone" }
    let nodes = HumanText.count(whole.count, "datanode", "datanodes")
    guard let slowest = whole.max(by: { $0.lagRounds < $1.lagRounds }), slowest.lagRounds > 0 else {
      return "copied to \(nodes), up to date"
    }
    return "copied to \(nodes), the slowest \(slowest.lagRounds) \(slowest.lagRounds == 1 ? "round" : "rounds") and "
      + "\(HumanText.duration(slowest.lag)) behind"
  }

  private var deleted: String {
    let trash = "\(status.trashEntries) in the trash"
    let uploads = "\(status.openUploads) \(status.openUploads == 1 ? "upload" : "uploads") open"
    return "\(trash), \(status.condemned) waiting to be reaped; \(uploads)"
  }

  private var nodeLines: [String] {
    let present = nodes.filter { $0.state != .removed }
    guard present.count > Self.mostNodes else { return NodeTable.lines(of: present, isLong: false) }
    let notable = present.filter { $0.state != .up || $0.isSuspect || !$0.isWritable }
    let shown = notable.prefix(Self.mostNodes)
    let rest = "\(present.count - shown.count) more datanodes; \"dfsd admin nodes\" lists all"
    return (shown.isEmpty ? [] : NodeTable.lines(of: Array(shown), isLong: false)) + [rest]
  }
}

/// Repair in one line.
enum RepairText {
  /// `otherwise` stands where nothing is being copied.
  static func line(_ repair: ClusterStatus.Repair, otherwise: String = "nothing to do") -> String {
    let done =
      repair.repairedChunks == 0
      ? ""
      : "; \(repair.repairedChunks) \(repair.repairedChunks == 1 ? "copy" : "copies") (\(repair.repairedBytes)) "
        + "made since the coordinator started"
    guard repair.groups > 0 || repair.chunksLeft > 0 else {
      return otherwise + done
    }
    var text = HumanText.count(repair.groups, "group", "groups")
    text += ", \(repair.chunksLeft) copies (\(repair.bytesLeft)) to make, \(repair.bytesPerSecond)/s"
    if let left = repair.timeLeft { text += ", \(HumanText.duration(left)) left" }
    return text + done
  }
}

/// What a check found, in one line.
enum CheckText {
  static func findings(_ check: ClusterStatus.Check) -> String {
    func count(_ number: UInt64, _ one: String, _ many: String) -> String {
      "\(number) \(number == 1 ? one : many)"
    }
    var parts = [
      count(check.missingChunks, "chunk", "chunks") + " missing",
      count(check.lackedCopies, "copy", "copies") + " to repair", count(check.orphans, "orphan", "orphans"),
    ]
    if check.strays > 0 { parts.append(count(check.strays, "stray", "strays")) }
    if check.skippedGroups > 0 {
      parts.append("\(HumanText.count(check.skippedGroups, "group", "groups")) not looked at, for nodes were away")
    }
    return parts.joined(separator: ", ")
  }
}
