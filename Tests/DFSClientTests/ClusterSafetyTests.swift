import DFSWire
import Testing

@testable import DFSClient

struct ClusterSafetyTests {
  private func safety(_ change: (inout WireGetStatusResponse) -> Void) throws -> ClusterStatus.Safety {
    var wire = WireGetStatusResponse()
    wire.chunks = 1000
    change(&wire)
    return try ClusterStatus(wire).safety
  }

  @Test func `the worst that is known decides`() throws {
    #expect(try safety { _ in } == .safe)
    #expect(try safety { $0.warnings = ["a node is down"] } == .safe)
    #expect(try safety { $0.actions = ["do something"] } == .attention)
    #expect(try safety { $0.chunksOnTwoCopies = 1 } == .atRisk)
    #expect(try safety { $0.chunksOnOneCopy = 1 } == .atRisk)
    #expect(try safety { $0.groupsUnwritable = 1 } == .atRisk)
    #expect(try safety { ($0.chunksUnreadable, $0.actions) = (1, ["x"]) } == .unreadable)
    #expect(try safety { ($0.checkMissingChunks, $0.checkEndedMs) = (1, 5) } == .unreadable)
    #expect(ClusterStatus.Safety.safe < .attention && .attention < .atRisk && .atRisk < .unreadable)
  }

  @Test func `what a coordinator does not tell stays unknown`() throws {
    let status = try ClusterStatus(WireGetStatusResponse())
    #expect(status.check == nil && status.scrub.sinceOldestPass == nil && status.repair.timeLeft == nil)
    var wire = WireGetStatusResponse()
    (wire.checkEndedMs, wire.checkOrphans, wire.scrubOldestMs, wire.repairEtaMs) = (1500, 3, 0, 2000)
    let told = try ClusterStatus(wire)
    #expect(told.check?.sinceEnd == .milliseconds(1500) && told.check?.orphans == 3)
    #expect(told.scrub.sinceOldestPass == .zero && told.repair.timeLeft == .seconds(2))
  }
}
