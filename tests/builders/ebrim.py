"""The order and number of ebRIM elements of METADATA.XML, as a RelaxNG grammar that several tests hold archives to."""

from __future__ import annotations

from lxml import etree

# The order and number of elements and the longest values, as rim.xsd 3.0 has them, and stricter: ours to write. The schema of
# OASIS itself judges in tests/conformance/test_ebrs_schema.py, where a copy of it is at hand.
GRAMMAR = """
<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
 datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
 <start><element name="SubmitObjectsRequest" ns="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0">
  <element name="RegistryObjectList" ns="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0">
   <ref name="package"/><oneOrMore><ref name="document"/></oneOrMore><oneOrMore><ref name="association"/></oneOrMore>
  </element></element></start>
 <define name="longName"><data type="string"><param name="maxLength">256</param></data></define>
 <define name="freeText"><data type="string"><param name="maxLength">1024</param></data></define>
 <define name="own">
   <optional><attribute name="lid"><text/></attribute></optional><optional><attribute name="home"><text/></attribute></optional>
   <optional><attribute name="status"><text/></attribute></optional></define>
 <define name="id"><attribute name="id"><text/></attribute></define>
 <define name="slot"><element name="Slot"><attribute name="name"><text/></attribute>
   <element name="ValueList"><oneOrMore><element name="Value"><ref name="longName"/></element></oneOrMore></element>
     </element></define>
 <define name="name"><element name="Name"><element name="LocalizedString">
   <attribute name="value"><ref name="freeText"/></attribute></element></element></define>
 <define name="description"><element name="Description"><element name="LocalizedString">
   <attribute name="value"><ref name="freeText"/></attribute></element></element></define>
 <define name="version"><element name="VersionInfo"><attribute name="versionName"><text/></attribute></element></define>
 <define name="classification"><element name="Classification"><ref name="id"/>
   <attribute name="classifiedObject"><text/></attribute>
   <choice>
    <attribute name="classificationNode"><text/></attribute>
    <group><attribute name="classificationScheme"><text/></attribute>
     <attribute name="nodeRepresentation"><ref name="longName"/></attribute></group>
   </choice>
   <zeroOrMore><ref name="slot"/></zeroOrMore><optional><ref name="name"/></optional></element></define>
 <define name="external"><element name="ExternalIdentifier"><ref name="id"/>
   <attribute name="registryObject"><text/></attribute><attribute name="identificationScheme"><text/></attribute>
   <attribute name="value"><ref name="longName"/></attribute><optional><ref name="name"/></optional></element></define>
 <define name="body"><oneOrMore><ref name="slot"/></oneOrMore><ref name="name"/>
   <optional><ref name="description"/></optional><optional><ref name="version"/></optional>
   <oneOrMore><ref name="classification"/></oneOrMore><oneOrMore><ref name="external"/></oneOrMore></define>
 <define name="package"><element name="RegistryPackage"><ref name="id"/><ref name="own"/><ref name="body"/></element></define>
 <define name="document"><element name="ExtrinsicObject"><ref name="id"/><ref name="own"/><attribute name="mimeType"><text/>
   </attribute>
   <attribute name="objectType"><text/></attribute><ref name="body"/></element></define>
 <define name="association"><element name="Association"><ref name="id"/><attribute name="associationType"><text/></attribute>
   <attribute name="sourceObject"><text/></attribute><attribute name="targetObject"><text/></attribute>
   <zeroOrMore><ref name="slot"/></zeroOrMore></element></define>
</grammar>
"""


def metadata_grammar() -> etree.RelaxNG:
    """A fresh validator."""
    return etree.RelaxNG(etree.fromstring(GRAMMAR))
