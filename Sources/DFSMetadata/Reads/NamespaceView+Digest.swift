import DFSCore
import DFSKeyValue

extension NamespaceView {
  /// Reads every record and compares their digest with the one that the rounds kept. Throws `.corrupt` when
  /// they differ. Its cost is that of the whole store.
  package func checkDigest() throws {
    var source = self
    guard let state = try source.record(Keys.state, StateRecord.self) else {
      throw DFSError(.corrupt, "the metadata store has no state")
    }
    var check = DigestCheck(reader: reader, state: state)
    _ = try check.step(.max)
  }
}
