var e=Object.defineProperty,t=(t,n)=>{let r={};for(var i in t)e(r,i,{get:t[i],enumerable:!0});return n||e(r,Symbol.toStringTag,{value:`Module`}),r},n,r,i,a,o,s,c,l,u,d,f,p,m=Symbol.for(`pv`),h={},g=[],_=/^m(i|n|o|s|text|space)$/,v=Array.isArray,y=g.slice,b=Object.assign;function ee(e){e&&e.parentNode&&e.remove()}function x(e,t,n){var r,i,a,o={},s=arguments.length;for(a in t)a==`key`?r=t[a]:a==`ref`&&typeof e!=`function`?i=t[a]:o[a]=t[a];return s>2&&(o.children=s>3?y.call(arguments,2):n),C(e,o,r,i,null)}function S(e,t,n){var r,i,a,o=b({},e.props),s=arguments.length;for(a in t)a==`key`?r=t[a]:a==`ref`&&typeof e.type!=`function`?i=t[a]:o[a]=t[a];return s>2&&(o.children=s>3?y.call(arguments,2):n),C(e.type,o,r===void 0?e.key:r,i===void 0?e.ref:i,null)}function C(e,t,i,a,o){var s={type:e,props:t,key:i,ref:a,__k:null,__:null,__b:0,__e:null,__c:null,constructor:m,__v:o||++r,__i:-1,__u:0};return!o&&n.vnode&&n.vnode(s),s}function w(e){return e.children}function T(e,t){this.props=e,this.context=t,this.__g=0}function te(e,t){if(t==null)return e.__&&te(e.__,e.__i+1);for(var n;t<e.__k.length;t++)if((n=e.__k[t])&&n.__e)return n.__e;return typeof e.type!=`function`||e.props.__P?null:te(e)}function ne(e){var t,r=e.__v,i=r.__e,a=[],o=[],s=e.__P;s&&((t=b({constructor:m},r)).__v=r.__v+1,n.vnode&&n.vnode(t),le(s,t,r,e.__n,s.namespaceURI,32&r.__u?[i]:null,a,i||te(r),32&r.__u,o),t.__v=r.__v,t.__.__k[t.__i]=t,fe(a,t,o),r.__=r.__e=null,t.__e!=i&&E(t))}function E(e){if((e=e.__)&&e.__c&&!e.props.__P)return e.__e=null,e.__k.some(function(t){return t&&(e.__e=t.__e)}),E(e)}function re(e){(8&e.__g||(e.__g|=8,a.push(e),s++))&&o==n.debounceRendering||((o=n.debounceRendering)||queueMicrotask)(ie)}function ie(){try{for(var e,t=1;a.length;)a.length>t&&a.sort(c),e=a.shift(),t=a.length,8&e.__g&&ne(e)}finally{(s=a.length)&&(o||queueMicrotask)(ie)}}function ae(e,t,n,r,i,a,o,s,c,l,u){var d,f,p,m,_,v,y=r.__k||g,b=t.length;for(c=oe(n,t,y,c,b),d=0;d<b;d++)(p=n.__k[d])!=null&&(f=~p.__i&&y[p.__i]||h,p.__i=d,v=le(e,p,f,i,a,o,s,c,l,u),m=p.__e,(f.ref!=p.ref||8&f.__u)&&(f.ref&&me(f.ref,null,p,f),p.ref&&u.push(p.ref,p.__c||m,p)),_||=m,4&p.__u?(c=D(p,c,e,!f.__v),f.__e&&(f.__e=null)):typeof p.type==`function`&&v!==void 0?c=v:m&&(c=m.nextSibling),p.__u&=-21);return n.__e=_,c}function oe(e,t,n,r,i){var a,o,s,c,l,u,d,f,p,h=n.length,g=h,_=0,y=0,b=e.__k=Array(i);for(a=0;a<i;a++)(o=t[a])!=null&&typeof o!=`boolean`&&typeof o!=`function`?(typeof o!=`object`||o.constructor===String?o=b[a]=C(null,o):v(o)?o=b[a]=C(w,{children:o}):o.constructor===m&&o.__b?o=b[a]=C(o.type,o.props,o.key,o.ref,o.__v):b[a]=o,c=a+_,o.__=e,o.__b=e.__b+1,s=null,~(l=o.__i=O(o,n,c,g))&&(g--,(s=n[l])&&(s.__u|=2)),s&&s.__v?(o.__u|=16,l==c-1?_--:l==c+1?_++:l!=c&&(l>c?_--:_++,y=1)):(~l||(i>h?_--:i<h&&_++),typeof o.type!=`function`&&(o.__u|=4))):b[a]=null;if(y){for(u=[],d=[],a=0;a<i;a++)if((o=b[a])&&16&o.__u){for(_=0,f=u.length;_<f;)u[p=_+f>>1]<o.__i?_=p+1:f=p;u[_]=o.__i,d[a]=_+1}for(_=u.length;a--;)d[a]&&(d[a]==_?_--:b[a].__u|=4)}if(g)for(a=0;a<h;a++)!(s=n[a])||2&s.__u||(s.__e==r&&(r=te(s)),he(s,s));return r}function D(e,t,n,r){var i,a,o,s;if(typeof e.type==`function`){if(e.props.__P)return t;if(i=e.__k)for(a=0;a<i.length;a++)i[a]&&(i[a].__=e,t=D(i[a],t,n,!1));return t}for(t&&!t.parentNode&&(t=te(e))&&!t.parentNode&&(t=null),o=e.__e,s=t;s&&s.nodeType==8;)s=s.nextSibling;for(o!=s&&(!r&&n.moveBefore&&o.parentNode?n.moveBefore(o,t):n.insertBefore(o,t||null)),t=o;(t&&=t.nextSibling)&&t.nodeType==8&&!t.data.startsWith(`$s`););return t}function se(e,t){return t||=[],e!=null&&typeof e!=`boolean`&&(v(e)?e.some(function(e){se(e,t)}):t.push(e)),t}function O(e,t,n,r){var i,a=e.key,o=e.type,s=t[n],c=s&&!(2&s.__u);if(s===null&&a==null||c&&a==s.key&&o==s.type)return n;if(r>+!!c){for(i=n-1;i>=0;i--)if((s=t[i])&&!(2&s.__u)&&a==s.key&&o==s.type)return i;for(i=n+1;i<t.length;i++)if((s=t[i])&&!(2&s.__u)&&a==s.key&&o==s.type)return i}return-1}function k(e,t,n){n??=``,t[0]==`-`?e.setProperty(t,n):e[t]=n}function A(e,t,n,r,i){var a,o;if(t==`style`){if(typeof n==`string`)e.style.cssText=n;else{if(typeof r==`string`&&(e.style.cssText=r=``),r)for(t in r)n&&t in n||k(e.style,t);if(n)for(t in n)r&&n[t]==r[t]||k(e.style,t,n[t])}}else if(t[0]==`o`&&t[1]==`n`)typeof n!=`function`&&(n=null),typeof r!=`function`&&(r=null),(e.__e||={})[t]=n,n&&r||(o=f[t]||(f[t]=ce(t)),(e.__a||={})[t]=d,a=t!=(t=t.replace(u,`$1`)),(t=t.slice(2))[0]<`a`&&(t=t.toLowerCase()),n?e.addEventListener(t,o,a):e.removeEventListener(t,o,a));else{if(i==`http://www.w3.org/2000/svg`)t=t.replace(/xlink(H|:h)/,`h`).replace(/sName$/,`s`);else if(t!=`width`&&t!=`height`&&t!=`href`&&t!=`list`&&t!=`form`&&t!=`tabIndex`&&t!=`download`&&t!=`rowSpan`&&t!=`colSpan`&&t!=`role`&&t!=`popover`&&t in e)try{e[t]=n??``;return}catch{}if(typeof n==`function`)return;n==null||!1===n&&t[4]!=`-`?e.removeAttribute(t):e.setAttribute(t,t==`popover`&&n==1?``:n)}}function ce(e){return function(t){var r=this.__e;if(r){if(r=r[e],t[l]==null)t[l]=d++;else if(t[l]<this.__a[e])return;return r(n.event?n.event(t):t)}}}function le(e,t,r,i,a,o,s,c,l,u){var d,f,p,h,_,y,x,S,C,ne,E,re,ie,oe,D,se,O,k,A=t.type;if(t.constructor!==m)return null;128&r.__u&&(l=32&r.__u,d=r.__c.__z)&&(t.__u|=l,f=o=[],d.nodeType==8?c=ue(d,o):o.push(d),c=o[0]||c),(d=n.__b)&&d(t);n:if(typeof A==`function`){p=s.length;try{if(S=t.props,C=(d=A.prototype)&&d.render,ne=(d=A.contextType)&&i[d.__c],E=d?ne?ne.props.value:d.__:i,(h=r.__c)?(t.__c=h,2&h.__g&&(h.__g|=1)):(C?t.__c=h=new A(S,E):(t.__c=h=new T(S,E),h.constructor=A,h.render=ge),ne&&ne.sub(h),h.state||(h.state={}),h.__n=i,h.__g|=8,h.__h=[],h.__k=[]),C&&(h.__s||(h.__s=h.state),A.getDerivedStateFromProps&&(h.__s==h.state&&(h.__s=b({},h.__s)),b(h.__s,A.getDerivedStateFromProps(S,h.__s)))),_=h.props,y=h.state,h.__v=t,r.__c){if(S!==_&&C&&!A.getDerivedStateFromProps&&h.componentWillReceiveProps&&h.componentWillReceiveProps(S,E),t.__v==r.__v&&!(8&h.__g)||!(4&h.__g)&&h.shouldComponentUpdate&&!1===h.shouldComponentUpdate(S,h.__s,E)){t.__v!=r.__v&&(h.props=S,h.state=h.__s,h.__g&=-9),t.__e=r.__e,t.__k=r.__k,t.__k.some(function(e){e&&(e.__=t)}),g.push.apply(h.__h,h.__k),h.__k=[],h.__h.length&&s.push(h),c=te(r);break n}h.componentWillUpdate&&h.componentWillUpdate(S,h.__s,E),C&&h.componentDidUpdate&&h.__h.push(function(){h.componentDidUpdate(_,y,x)})}else C&&!A.getDerivedStateFromProps&&h.componentWillMount&&h.componentWillMount(),C&&h.componentDidMount&&h.__h.push(h.componentDidMount);h.context=E,h.props=S,h.__P=e,h.__g&=-5,re=n.__r,ie=C?25:0;do h.__g&=-9,re&&re(t),d=h.render(h.props,h.state=h.__s,h.context);while(8&h.__g&&++ie<25);C&&(g.push.apply(h.__h,h.__k),h.__k=[]),h.state=h.__s,h.getChildContext&&(i=b({},i,h.getChildContext())),C&&r.__c&&h.getSnapshotBeforeUpdate&&(x=h.getSnapshotBeforeUpdate(_,y)),oe=d&&d.type===w&&d.key==null?d.props.children:d,S.__P&&(d=c,a=(e=S.__P).namespaceURI,l=o=null,r.props&&r.props.__P!=e&&(r.__k.some(function(e){e&&he(e,e)}),r.__k=null),c=r.__k?te(r,0):null),c=ae(e,v(oe)?oe:[oe],t,r,i,a,o,s,c,l,u),S.__P&&(t.__e=null,c=d),t.__u&=-161,f&&f.some(ee),h.__h.length&&s.push(h),1&h.__g&&(h.__g&=-4)}catch(e){if(s.length=p,t.__v=null,l||o){if(e&&e.then){if(t.__u|=128|l,o){for(~(O=o.indexOf(c||void 0))||(O=o.length);(k=o[O-1])&&k.nodeType==8;)O--;for(;O<o.length;O++)if(k=o[O]){if(o[O]=null,D){if(k==se)break}else{if(k.nodeType!=8)break;k.data.startsWith(`$s`)&&(se=ue(D=k))}}}if(!D){for(;c&&c.nodeType==8&&c.nextSibling;)c=c.nextSibling;D=c}(d=ue(D=t.__c.__z||(t.__c.__z=D)))?(t.__e=D,c=d):t.__e=c,c&&=c.nextSibling}else o&&o.some(ee)}else t.__e=r.__e;t.__k||=r.__k||[],e&&e.then||de(t),n.__e(e,t,r)}}else c=t.__e=pe(r.__e,t,r,i,a,o,s,l,u,e);return(d=n.diffed)&&d(t),c}function ue(e,t){if(e&&e.nodeType==8&&e.data.startsWith(`$s`))for(var n=1;e=e.nextSibling;){if(e.nodeType==8){if(e.data.startsWith(`$s`))n++;else if(e.data.startsWith(`/$s`)&&!--n)return e}t&&t.push(e)}}function de(e){e&&(e.__c&&(e.__c.__g|=4),e.__k&&e.__k.some(de))}function fe(e,t,r){for(var i=0;i<r.length;)me(r[i++],r[i++],r[i++]);n.__c&&n.__c(t,e),e.some(function(t){try{e=t.__h,t.__h=[],e.some(function(e){e.call(t)})}catch(e){n.__e(e,t.__v)}})}function pe(e,t,r,i,a,o,s,c,l,u){var d,f,p,m,g,b,x,S,C=r.props||h,w=t.props,T=t.type;if(T==`svg`?a=`http://www.w3.org/2000/svg`:T==`math`?a=`http://www.w3.org/1998/Math/MathML`:a||=`http://www.w3.org/1999/xhtml`,o){for(d=0;d<o.length;d++)if((g=o[d])&&(T?g.localName==T:g.nodeType==3)){e=g,o[d]=null;break}}if(!e){if(S=u.ownerDocument||document,!T)return S.createTextNode(w);e=S.createElementNS(a,T,w.is?w:u),c&&=(n.__m&&n.__m(t,o),!1),o=null}if(T){if(u=T==`template`&&e.content||e,o=T==`textarea`&&w.defaultValue!=null?null:o&&y.call(u.childNodes),!c&&o)for(C={},d=0;d<e.attributes.length;d++)C[(g=e.attributes[d]).name]=g.value;for(d in C)g=C[d],d==`dangerouslySetInnerHTML`?p=g:d==`children`||d in w||d==`value`&&`defaultValue`in w||d==`checked`&&`defaultChecked`in w||A(e,d,null,g,a);for(d in w)g=w[d],d==`children`?m=g:d==`dangerouslySetInnerHTML`?f=g:d==`value`?b=g:d==`checked`?x=g:c&&typeof g!=`function`||C[d]===g||A(e,d,g,C[d],a);f?(c||p&&(f.__html==p.__html||f.__html==e.innerHTML)||(e.innerHTML=f.__html),t.__k=[]):(p&&(e.textContent=``),(T==`foreignObject`||a==`http://www.w3.org/1998/Math/MathML`&&_.test(T))&&(a=`http://www.w3.org/1999/xhtml`),ae(u,v(m)?m:[m],t,r,i,a,o,s,o?o[0]:r.__k&&te(r,0),c,l),o&&o.some(ee)),c&&T!=`textarea`||(d=`value`,T==`progress`&&b==null?e.removeAttribute(d):b==null||b===e[d]&&(T!=`progress`||b)||A(e,d,b,C[d],a),d=`checked`,x!=null&&x!=e[d]&&A(e,d,x,C[d],a))}else C===w||c&&e.data==w||(e.data=w);return e}function me(e,t,r,i){try{typeof e==`function`?t?t.__x=e(t)||1:(i&&=i.__c||i.__e)&&(t=i.__x)&&(i.__x=null,typeof t==`function`?t():e(null)):e.current=t}catch(e){n.__e(e,r)}}function he(e,t,r){var i,a,o,s;if(n.unmount&&n.unmount(e),!(i=e.ref)||i.current&&i.current!=e.__e||me(i,null,t,e),i=e.__c){if(i.componentWillUnmount)try{i.componentWillUnmount()}catch(e){n.__e(e,t)}i.__P=i.__n=null}if(i=e.__k)for(s=0;s<i.length;s++)i[s]&&he(i[s],t,typeof e.type!=`function`||r&&!e.props.__P);!r&&(i=e.__c)&&(i=i.__z)&&(a=ue(i,o=[]))&&(i==e.__e&&o.some(ee),ee(a),ee(i)),r||ee(e.__e),e.__e=e.__c=e.__=null}function ge(e,t,n){return this.constructor(e,n)}function _e(e,t){var r,i,a,o;n.__&&n.__(e,t),t.nodeType==9&&(t=t.documentElement),i=(r=e&&32&e.__u)?null:t.__k,t.__k=C(w,{children:[e]}),a=[],o=[],le(t,t.__k,i||h,h,t.namespaceURI,i?null:t.firstChild?y.call(t.childNodes):null,a,i?i.__e:t.firstChild,r,o),fe(a,t.__k,o),t.__k.props.children=null}function ve(e){function t(e){var n,r;return this.getChildContext||(n=new Set,(r={})[t.__c]=this,this.getChildContext=function(){return r},this.shouldComponentUpdate=function(e){this.props.value!=e.value&&n.forEach(function(e){e.__g|=4,re(e)})},this.sub=function(e){n.add(e);var t=e.componentWillUnmount;e.componentWillUnmount=function(){n.delete(e),t&&t.call(e)}}),e.children}return t.__c=`__cC`+p++,t.__=e,t.Provider=(t.Consumer=function(e,t){return e.children(t)}).contextType=t,t}n={__e:function(e,t,n,r){for(var i,a,o;t=t.__;)if((i=t.__c)&&!(1&i.__g)){i.__g|=4;try{if((o=(a=i.constructor)&&a.getDerivedStateFromError)&&i.setState(a.getDerivedStateFromError(e)),i.componentDidCatch&&(i.componentDidCatch(e,r||{}),o=1),o&&8&i.__g)return void(i.__g|=2)}catch(t){e=t}}throw s=0,e}},r=0,i=function(e){return e!=null&&e.constructor===m},T.prototype.setState=function(e,t){var n=this.__s;n&&n!=this.state||(n=this.__s=b({},this.state)),typeof e==`function`&&(e=e(b({},n),this.props)),e&&(b(n,e),this.__v&&(t&&this.__k.push(t),re(this)))},T.prototype.forceUpdate=function(e){this.__v&&(this.__g|=4,e&&this.__h.push(e),re(this))},T.prototype.render=w,a=[],s=0,c=function(e,t){return e.__v.__b-t.__v.__b},l=Symbol(),u=/(PointerCapture)$|Capture$/i,d=0,f={},p=0;var j,M,ye,be,xe=Object.is,Se=0,Ce=[],we=[],N=n,Te=N.__b,Ee=N.__r,De=N.diffed,Oe=N.__c,ke=N.unmount,Ae=N.__;function je(e,t){N.__h&&N.__h(M,e,Se||t),Se=0;var n=M.__H||(M.__H={__:[],__h:[]});return e>=n.__.length&&n.__.push({}),n.__[e]}function Me(e){return Se=1,Ne(Ge,e)}function Ne(e,t,n){var r=je(j++,2);if(r.t=e,!r.__c&&(r.__=[n?n(t):Ge(void 0,t),function(e){var t=(r.__N||r.__)[0],n=r.t(t,e);xe(t,n)||(r.__N=[n,r.__[1]],r.__c.setState({}))}],r.__c=M,!M.__f)){M.__f=!0;var i=M.shouldComponentUpdate;M.shouldComponentUpdate=function(e,t,n){var r=this.__H;if(!r)return!0;var a=!1,o=this.props!=e;if(r.__.some(function(e){e.__N&&(a=!0,xe(e.__[0],e.__N[0])||(o=!0))}),i){var s=i.call(this,e,t,n);return a?s||o:s}return!a||o}}return r.__}function P(e,t){var n=je(j++,3);!N.__s&&We(n.__H,t)&&(n.__P=!0,n.__=e,n.u=t,M.__H.__h.push(n))}function Pe(e,t){var n=je(j++,4);!N.__s&&We(n.__H,t)&&(n.__P=!1,n.__=e,n.u=t,M.__h.push(n))}function F(e){return Se=5,Fe(function(){return{current:e}},[])}function Fe(e,t){var n=je(j++,7);return We(n.__H,t)&&(n.__=e(),n.__H=t),n.__}function Ie(e){var t=M.context[e.__c],n=je(j++,9);return n.c=e,t?(n.__??(n.__=!0,t.sub(M)),t.props.value):e.__}function Le(){var e=je(j++,11);if(!e.__){for(var t=M.__v;!t.__m&&t.__;)t=t.__;var n=t.__m||(t.__m=[0,0]);e.__=`P`+n[0]+`-`+n[1]++}return e.__}function Re(){var e;do{for(;e=we.shift();)try{He(e)}catch(t){N.__e(t,{__:(e=e.__P)&&e.__v})}for(;e=Ce.shift();){var t=e.__H;if(e.__P&&t)try{t.__h.some(He),t.__h.some(Ue),t.__h=[]}catch(n){t.__h=[],N.__e(n,e.__v)}}}while(we.length)}N.__b=function(e){M=null,Te&&Te(e)},N.__=function(e,t){e&&t.__k&&t.__k.__m&&(e.__m=t.__k.__m),Ae&&Ae(e,t)},N.__r=function(e){Ee&&Ee(e),j=0;var t=(M=e.__c).__H;t&&(ye==M?M.__h=[]:(t.__h.some(He),t.__h.some(Ue),j=0),t.__h=[],t.__.some(function(e){e.__N&&(e.__=e.__N),e.u=e.__N=void 0})),ye=M},N.diffed=function(e){De&&De(e);var t=e.__c;t&&t.__H&&(t.__H.__h.length&&Ve(Ce.push(t)),t.__H.__.some(function(e){e.u&&(e.__H=e.u)})),ye=M=null},N.__c=function(e,t){t.some(function(e){try{e.__h.some(He),e.__h=e.__h.filter(function(e){return!e.__||Ue(e)})}catch(t){e.__h=[function(){throw t}]}}),Oe&&Oe(e,t)},N.unmount=function(e){ke&&ke(e);var t,n,r=e.__c;r&&r.__H&&(r.__H.__.some(function(r){try{if(r.__P&&r.__c){if(n===void 0){for(n=e.__;n&&(!n.__c||!n.__c.__P);)n=n.__;n&&=n.__c}r.__P=n,Ve(we.push(r))}else He(r)}catch(e){t=e}}),r.__H=void 0,t&&N.__e(t,r.__v))};var ze=typeof requestAnimationFrame==`function`;function Be(e){var t,n=function(){clearTimeout(r),ze&&cancelAnimationFrame(t),setTimeout(e)},r=setTimeout(n,35);ze&&(t=requestAnimationFrame(n))}function Ve(e){e!=1&&be==N.requestAnimationFrame||((be=N.requestAnimationFrame)||Be)(Re)}function He(e){var t=M,n=e.__c;typeof n==`function`&&(e.__c=void 0,n()),M=t}function Ue(e){var t=M;e.__c=e.__(),M=t}function We(e,t){return!e||e.length!=t.length||t.some(function(t,n){return!xe(t,e[n])})}function Ge(e,t){return typeof t==`function`?t(e):t}var Ke,qe;function Je(e){return!qe||(typeof qe==`string`?e.startsWith(qe):qe.test(e))}function Ye(e,t){let n=``;if(Ke=void 0,t&&t.type===`click`){if(t.ctrlKey||t.metaKey||t.altKey||t.shiftKey||t.button!==0)return e;let r=t.composedPath().find(e=>e.nodeName==`A`&&e.href),i=r&&r.getAttribute(`href`);if(!r||r.origin!=location.origin||/^#/.test(i)||!/^(_?self)?$/i.test(r.target)||!Je(i)||r.download)return e;Ke=!0,t.preventDefault(),n=r.href.replace(location.origin,``)}else t&&t.url?(Ke=!t.replace,n=t.url):n=location.pathname+location.search;return Ke===!0?history.pushState(null,``,n):Ke===!1&&history.replaceState(null,``,n),n}var Xe=(e,t,n={})=>{e=e.split(`/`).filter(Boolean),t=(t||``).split(`/`).filter(Boolean),n.params||={};for(let r=0,i,a;r<Math.max(e.length,t.length);r++){let[,o,s,c]=(t[r]||``).match(/^(:?)(.*?)([+*?]?)$/);if(i=e[r],o||s!=i){if(!o&&i&&c==`*`){n.rest=`/`+e.slice(r).join(`/`);break}if(!o||!i&&c!=`?`&&c!=`*`)return;if(a=c==`+`||c==`*`,a?i=e.slice(r).map(decodeURIComponent).join(`/`)||void 0:i&&=decodeURIComponent(i),n.params[s]=i,s in n||(n[s]=i),a)break}}return n};function Ze(e){let[t,n]=Ne(Ye,e.url||location.pathname+location.search);e.scope&&(qe=e.scope);let r=Ke===!0,i=Fe(()=>{let e=new URL(t,location.origin),i=e.pathname.replace(/\/+$/g,``)||`/`;return{url:t,path:i,query:Object.fromEntries(e.searchParams),route:(e,t)=>n({url:e,replace:t}),back:()=>{history.back()},forward:()=>{history.forward()},wasPush:r}},[t]);return Pe(()=>(addEventListener(`click`,n),addEventListener(`popstate`,n),()=>{removeEventListener(`click`,n),removeEventListener(`popstate`,n)}),[]),x(Ze.ctx.Provider,{value:i},e.children)}var Qe=Promise.resolve();function $e(e){let[t,n]=Ne(e=>e+1,0),{url:r,query:i,wasPush:a,path:o}=at();if(!r)throw Error(`preact-iso's <Router> must be used within a <LocationProvider>, see: https://github.com/preactjs/preact-iso#locationprovider`);let{rest:s=o,params:c={}}=Ie(rt),l=F(!1),u=F(o),d=F(1),f=F(),p=F(),m=F(),h=F(!1),g=F();g.current=!1;let _,v,y;se(e.children).some(e=>{if(Xe(s,e.props.path,y={...e.props,path:s,query:i,params:Object.assign({},c),rest:``}))return _=S(e,y);e.props.default&&(v=S(e,y))});let b=_||v,ee=f.current&&f.current.__u&et&&f.current.__u&tt,C=f.current&&f.current.__h,w=Fe(()=>{p.current=f.current,f.current=x(rt.Provider,{value:y},b);let e=p.current&&p.current.props.children;return!e||!b||b.type!==e.type||b.props.component!==e.props.component?(d.current++,!0):!1},[r,JSON.stringify(y)]);ee?(f.current.__u|=et,f.current.__u|=tt):C&&(f.current.__h=!0);let T=p.current;return p.current=null,this.__c=(t,i)=>{g.current=!0,p.current=T,e.onLoadStart&&e.onLoadStart(r),l.current=!0;let a=d.current;t.then(()=>{a===d.current&&(p.current=null,f.current&&(i.__h&&(f.current.__h=i.__h),i.__u&tt&&(f.current.__u|=tt),i.__u&et&&(f.current.__u|=et)),Qe.then(n))})},Pe(()=>{let t=this.__v&&this.__v.__e;g.current?!h.current&&!m.current&&(m.current=t):(!h.current&&m.current&&(m.current!==t&&m.current.remove(),m.current=null),h.current=!0,u.current!==o&&(a&&scrollTo(0,0),e.onRouteChange&&e.onRouteChange(r),u.current=o),e.onLoadEnd&&l.current&&e.onLoadEnd(r),l.current=!1)},[o,a,t]),w?[x(nt,{r:f,key:d.current}),x(nt,{r:p,key:d.current-1})]:x(nt,{r:f,key:d.current})}var et=32,tt=128,nt=({r:e})=>e.current;$e.Provider=Ze,Ze.ctx=ve({});var rt=ve({}),it=e=>x(e.component,e),at=()=>Ie(Ze.ctx),ot=()=>Ie(rt),st=n.__b;n.__b=e=>{e.type&&e.type._forwarded&&e.ref&&(e.props.ref=e.ref,e.ref=null),st&&st(e)};function ct(e){let t,n,r=()=>e().then(e=>n=e&&e.default||e),i=e=>{let[,i]=Me(0),a=F(n);if(t||=r(),n!==void 0)return x(n,e);throw a.current||=t.then(()=>i(1)),t};return i.preload=()=>(t||=r(),t),i._forwarded=!0,i}var lt=n.__e;n.__e=(e,t,n)=>{if(e&&e.then){let r=t;for(;r=r.__;)if(r.__c&&r.__c.__c)return t.__e??(t.__c.__z=[n.__e],t.__e=n.__e,t.__k=n.__k),t.__k||=[],r.__c.__c(e,t)}lt&&lt(e,t,n)};function ut(e){return this.__c=dt,this.componentDidCatch=e.onError,e.children}function dt(e){e.then(()=>this.forceUpdate())}var ft=(function(){let e=typeof document<`u`&&document.createElement(`link`).relList;return e&&e.supports&&e.supports(`modulepreload`)?`modulepreload`:`preload`})(),pt=function(e){return`/ui/`+e},mt={},ht=function(e){return e.pathname.endsWith(`.css`)},gt=function(e,t,n){if(t in e)return e[t];let r=n();if(!r){e[t]=void 0;return}let i=r.then(()=>{e[t]=void 0},n=>{throw e[t]=void 0,n});return e[t]=i,i},_t=function(e,t,n){let r=Promise.resolve();if(t&&t.length>0){let e,i=document.querySelector(`meta[property=csp-nonce]`),a=i?.nonce||i?.getAttribute(`nonce`);function o(e){return Promise.all(e.map(e=>Promise.resolve(e).then(e=>({status:`fulfilled`,value:e}),e=>({status:`rejected`,reason:e}))))}function s(e){return import.meta.resolve?new URL(import.meta.resolve(e)):new URL(e,import.meta.url)}r=o(t.map(t=>{t=pt(t,n);let r=s(t),i=ht(r);return gt(mt,r.href,()=>{if(e===void 0){e={all:new Set,styles:new Set};let t=document.getElementsByTagName(`link`);for(let n=t.length-1;n>=0;n--){let r=t[n];e.all.add(r.href),r.rel===`stylesheet`&&e.styles.add(r.href)}}if((i?e.styles:e.all).has(r.href))return;let t=document.createElement(`link`);if(t.rel=i?`stylesheet`:ft,i||(t.as=`script`),t.crossOrigin=``,t.href=r.href,a&&t.setAttribute(`nonce`,a),document.head.appendChild(t),i)return new Promise((e,n)=>{let i=a=>{t.removeEventListener(`load`,i),t.removeEventListener(`error`,i),a.type===`error`?n(Error(`Unable to preload CSS for ${r}`)):e(a)};t.addEventListener(`load`,i),t.addEventListener(`error`,i)})})}).filter(e=>e!==void 0))}function i(e){let t=new Event(`vite:preloadError`,{cancelable:!0});if(t.payload=e,window.dispatchEvent(t),!t.defaultPrevented)throw e}return r.then(t=>{for(let e of t||[])e.status===`rejected`&&i(e.reason);return e().catch(i)})},vt=Symbol.for(`preact-signals`);function yt(){if(L>1)L--;else{var e,t=!1;for((function(){var e=Dt;for(Dt=void 0;e!==void 0;){var t=e.S;if(t.v===e.v)for(var n=t.t;n!==void 0;n=n.x)n.i===e.i&&(n.i=t.i);e=e.o}})();Ct!==void 0;){var n=Ct;for(Ct=void 0,wt++;n!==void 0;){var r=n.u;if(n.u=void 0,n.f&=-3,!(8&n.f)&&At(n))try{n.c()}catch(n){t||=(e=n,!0)}n=r}}if(wt=0,L--,t)throw e}}function bt(e){if(L>0)return e();Et=++Tt,L++;try{return e()}finally{yt()}}var xt,I=void 0;function St(e){var t=I,n=xt;I=void 0,xt=void 0;try{return e()}finally{I=t,xt=n}}var Ct=void 0,L=0,wt=0,Tt=0,Et=0,Dt=void 0,Ot=0;function kt(e){if(I!==void 0){var t=e.n;if(t===void 0||t.t!==I)return t={i:0,S:e,p:I.s,n:void 0,t:I,e:void 0,x:void 0,r:t},I.s!==void 0&&(I.s.n=t),I.s=t,e.n=t,32&I.f&&e.S(t),t;if(t.i===-1)return t.i=0,t.n!==void 0&&(t.n.p=t.p,t.p!==void 0&&(t.p.n=t.n),t.p=I.s,t.n=void 0,I.s.n=t,I.s=t),t}}function R(e,t){this.v=e,this.i=0,this.n=void 0,this.t=void 0,this.l=0,this.W=t?.watched,this.Z=t?.unwatched,this.name=t?.name}R.prototype.brand=vt,R.prototype.h=function(){return!0},R.prototype.S=function(e){var t=this,n=this.t;n!==e&&e.e===void 0&&(e.x=n,this.t=e,n===void 0?St(function(){var e;(e=t.W)==null||e.call(t)}):n.e=e)},R.prototype.U=function(e){var t=this;if(this.t!==void 0){var n=e.e,r=e.x;n!==void 0&&(n.x=r,e.e=void 0),r!==void 0&&(r.e=n,e.x=void 0),e===this.t&&(this.t=r,r===void 0&&St(function(){var e;(e=t.Z)==null||e.call(t)}))}},R.prototype.subscribe=function(e){var t=this;return V(function(){var n=t.value;St(function(){return e(n)})},{name:`sub`})},R.prototype.valueOf=function(){return this.value},R.prototype.toString=function(){return this.value+``},R.prototype.toJSON=function(){return this.value},R.prototype.peek=function(){var e=this;return St(function(){return e.value})},Object.defineProperty(R.prototype,"value",{get:function(){var e=kt(this);return e!==void 0&&(e.i=this.i),this.v},set:function(e){if(e!==this.v){if(wt>100)throw Error(`Cycle detected`);(function(e){L!==0&&wt===0&&e.l!==Et&&(e.l=Et,Dt={S:e,v:e.v,i:e.i,o:Dt})})(this),this.v=e,this.i++,Ot++,L++;try{for(var t=this.t;t!==void 0;t=t.x)t.t.N()}finally{yt()}}}});function z(e,t){return new R(e,t)}function At(e){for(var t=e.s;t!==void 0;t=t.n)if(t.S.i!==t.i||!t.S.h()||t.S.i!==t.i)return!0;return!1}function jt(e){for(var t=e.s;t!==void 0;t=t.n){var n=t.S.n;if(n!==void 0&&(t.r=n),t.S.n=t,t.i=-1,t.n===void 0){e.s=t;break}}}function Mt(e){for(var t=e.s,n=void 0;t!==void 0;){var r=t.p;t.i===-1?(t.S.U(t),r!==void 0&&(r.n=t.n),t.n!==void 0&&(t.n.p=r)):n=t,t.S.n=t.r,t.r!==void 0&&(t.r=void 0),t=r}e.s=n}function Nt(e,t){R.call(this,void 0,t),this.x=e,this.s=void 0,this.g=Ot-1,this.f=4}Nt.prototype=new R,Nt.prototype.h=function(){if(this.f&=-3,1&this.f)return!1;if((36&this.f)==32||(this.f&=-5,this.g===Ot))return!0;if(this.g=Ot,this.f|=1,this.i>0&&!At(this))return this.f&=-2,!0;var e=I;try{jt(this),I=this;var t=this.x();(16&this.f||this.v!==t||this.i===0)&&(this.v=t,this.f&=-17,this.i++)}catch(e){this.v=e,this.f|=16,this.i++}return I=e,Mt(this),this.f&=-2,!0},Nt.prototype.S=function(e){if(this.t===void 0){this.f|=36;for(var t=this.s;t!==void 0;t=t.n)t.S.S(t)}R.prototype.S.call(this,e)},Nt.prototype.U=function(e){if(this.t!==void 0&&(R.prototype.U.call(this,e),this.t===void 0)){this.f&=-33;for(var t=this.s;t!==void 0;t=t.n)t.S.U(t)}},Nt.prototype.N=function(){if(!(2&this.f)){this.f|=6;for(var e=this.t;e!==void 0;e=e.x)e.t.N()}},Object.defineProperty(Nt.prototype,"value",{get:function(){if(1&this.f)throw Error(`Cycle detected`);var e=kt(this);if(this.h(),e!==void 0&&(e.i=this.i),16&this.f)throw this.v;return this.v}});function B(e,t){return new Nt(e,t)}function Pt(e){var t=e.j;if(e.j=void 0,typeof t==`function`){L++;var n=I;I=void 0;try{t()}catch(t){throw e.f&=-2,e.f|=8,Ft(e),t}finally{I=n,yt()}}}function Ft(e){for(var t=e.s;t!==void 0;t=t.n)t.S.U(t);e.x=void 0,e.s=void 0,Pt(e)}function It(e){if(I!==this)throw Error(`Out-of-order effect`);Mt(this),I=e,this.f&=-2;try{8&this.f&&Ft(this)}finally{yt()}}function Lt(e,t){this.x=e,this.j=void 0,this.s=void 0,this.u=void 0,this.f=32,this.name=t?.name,xt&&xt.push(this)}Lt.prototype.c=function(){var e=this.S();try{if(8&this.f||this.x===void 0)return;var t=this.x();typeof t==`function`&&(this.j=t)}finally{e()}},Lt.prototype.S=function(){if(1&this.f)throw Error(`Cycle detected`);this.f|=1,this.f&=-9,Pt(this),jt(this),L++;var e=I;return I=this,It.bind(this,e)},Lt.prototype.N=function(){2&this.f||(this.f|=2,this.u=Ct,Ct=this)},Lt.prototype.d=function(){this.f|=8,1&this.f||Ft(this)},Lt.prototype.dispose=function(){this.d()};function V(e,t){var n=new Lt(e,t);try{n.c()}catch(e){throw n.d(),e}var r=n.d.bind(n);return r[Symbol.dispose]=r,r}var Rt,zt,Bt,Vt=typeof window<`u`&&!!window.__PREACT_SIGNALS_DEVTOOLS__,Ht=[];V(function(){Rt=this.N})();function Ut(e,t){n[e]=t.bind(null,n[e]||function(){})}function Wt(e){if(Bt){var t=Bt;Bt=void 0,t()}Bt=e&&e.S()}function Gt(e){var t=this,n=e.data,r=H(n);r.name=`ReactiveDom`,r.value=n;var a=Fe(function(){for(var e=t,n=t.__v;n=n.__;)if(n.__c){n.__c.__$f|=4;break}var a=B(function(){var e=r.value.value;return e===0?0:!0===e?``:e||``}),o=B(function(){return!Array.isArray(a.value)&&!i(a.value)}),s=V(function(){if(this.N=Xt,o.value){var t=a.value;e.__v&&e.__v.__e&&e.__v.__e.nodeType===3&&(e.__v.__e.data=t)}}),c=t.__$u.d;return t.__$u.d=function(){s(),c.call(this)},[o,a]},[]),o=a[0],s=a[1];return o.value?s.peek():s.value}Gt.displayName=`ReactiveTextNode`,Object.defineProperties(R.prototype,{constructor:{configurable:!0,value:x(w,null).constructor},type:{configurable:!0,value:Gt},props:{configurable:!0,get:function(){var e=this;return{data:{get value(){return e.value}}}}},__b:{configurable:!0,value:1}}),Ut(`__b`,function(e,t){if(Wt(),zt=void 0,typeof t.type==`string`){var n,r=t.props;for(var i in r)if(i!==`children`){var a=r[i];a instanceof R&&(n||(t.__np=n={}),n[i]=a,r[i]=a.peek())}}e(t)}),Ut(`__r`,function(e,t){if(e(t),t.type!==w){Wt();var n,r=t.__c;r&&(r.__$f&=-2,(n=r.__$u)===void 0&&(r.__$u=n=function(e,t){var n;return V(function(){n=this},{name:t}),n.c=e,n}(function(e){return function(){var t;Vt&&((t=this.y)==null||t.call(this)),e.__$f|=1,e.setState({})}}(r),typeof t.type==`function`?t.type.displayName||t.type.name:``))),zt=r,Wt(n)}}),Ut(`__e`,function(e,t,n,r){Wt(),zt=void 0,e(t,n,r)}),Ut(`diffed`,function(e,t){Wt(),zt=void 0;var n;if(typeof t.type==`string`&&(n=t.__e)){var r=t.__np,i=t.props,a=n.U;if(a)for(var o in a){var s=a[o];s===void 0||r&&o in r||(s.d(),a[o]=void 0)}if(r)for(var c in a||(a={},n.U=a),r){var l=a[c],u=r[c];l===void 0?(l=Kt(n,c,u,i),a[c]=l):l.o(u,i)}}e(t)});function Kt(e,t,n,r){var i=t in e&&e.ownerSVGElement===void 0,a=z(n);return{o:function(e,t){a.value=e,r=t},d:V(function(){this.N=Xt;var n=a.value.value;r[t]!==n&&(r[t]=n,i?e[t]=n:n!=null&&(!1!==n||t[4]===`-`)?e.setAttribute(t,n):e.removeAttribute(t))})}}Ut(`unmount`,function(e,t){if(typeof t.type==`string`){var n=t.__e;if(n){var r=n.U;if(r)for(var i in n.U=void 0,r){var a=r[i];a&&a.d()}}var o=t.__np;if(o){var s=t.props;for(var c in o)s[c]=o[c]}t.__np=void 0}else{var l=t.__c;if(l){l.__$f|=8;var u=l.__$u;u&&(l.__$u=void 0,u.d())}}e(t)}),Ut(`__h`,function(e,t,n,r){r<3&&(t.__$f|=2),e(t,n,r)}),T.prototype.shouldComponentUpdate=function(e,t){if(this.__R)return!0;var n=this.__$u,r=n&&n.s!==void 0;for(var i in t)return!0;if(this.__f||typeof this.u==`boolean`&&!0===this.u){var a=2&this.__$f;if(!(r||a||4&this.__$f)||1&this.__$f)return!0}else if(!(r||4&this.__$f)||3&this.__$f)return!0;for(var o in e)if(o!==`__source`&&e[o]!==this.props[o])return!0;for(var s in this.props)if(!(s in e))return!0;return!1};function H(e,t){return Fe(function(){return z(e,t)},[])}function qt(e,t){var n=F(e);return n.current=e,zt.__$f|=4,Fe(function(){return B(function(){return n.current()},t)},[])}var Jt=function(e){queueMicrotask(function(){queueMicrotask(e)})};function Yt(){bt(function(){for(var e;e=Ht.shift();)Rt.call(e)})}function Xt(){Ht.push(this)===1&&(n.requestAnimationFrame||Jt)(Yt)}var U=(e,t,n)=>`${e} ${e===1?t:n}`,W=e=>e.length>60?`${e.slice(0,58)} …`:e,Zt={out_of_memory:`A smaller size needs less memory. Retry helps where a larger GPU has joined.`,damaged:`Retry works only after the store is repaired. Or choose Remix: it fills the form, and you choose the lost picture again.`},G={farm:`framepack-farm`,away:`The farm does not answer. Trying again …`,storeAway:e=>`The farm can store nothing at the moment: ${e}. Nothing is lost. Trying again …`,refused:e=>`The farm refused with status ${e} and gave no reason.`,loading:`Loading …`,main:`Main`,skip:`Skip to the content`,notHere:`There is nothing at this address.`,toCreate:`Make a video`,nav:{create:`Create`,queue:`Queue`,library:`Library`,workers:`Workers`},sound:`A sound when a video ends`,keys:{title:`Keys`,list:[[`?`,`show these keys`],[`1 2 3 4`,`go to Create, Queue, Library, Workers`],[`Ctrl Enter`,`Create: generate`],[`, .`,`Video: a frame back, a frame on`],[`Space`,`Queue: lift or drop a row by its handle; arrows move it, Esc puts it back`],[`K`,`Video: play or pause`],[`L`,`Video: loop`],[`F`,`Video: full screen`]]},signIn:{title:`Sign in`,text:`This farm asks for a key. Its operator makes one with “framefarm keys new NAME”.`,key:`API key`,act:`Sign in`,out:`Sign out`,as:e=>`Signed in as ${e}`},theme:{title:`Theme`,system:`As the system`,light:`Light`,dark:`Dark`},status:{queued:`waits`,in_progress:`runs`,paused:`is paused`,completed:`is ready`,failed:`has failed`,cancelled:`was cancelled`},act:{pause:`Pause`,resume:`Resume`,cancel:`Cancel`,edit:`Edit`,retry:`Retry`,again:`Try again`,delete:`Delete`,open:`Open`,save:`Save`,close:`Close`,copy:`Copy`,copied:`Copied`,undo:`Undo`,select:`Select`,star:`Star`,download:`Download`,done:`Done`,more:`More`},time:{left:e=>`about ${e} left`},done:{cancelled:(e,t)=>t?`“${W(t)}” was cancelled.`:`${e} videos were cancelled.`,deleted:e=>e===1?`The video was deleted.`:`${e} videos were deleted.`,refused:(e,t)=>e===1?t:`${e} were refused: ${t}`,notMoved:e=>`It was put back: ${e}`,ended:(e,t)=>`“${W(e)}” ${t}.`},progress:{name:`Progress`,section:(e,t)=>`section ${e} of ${t}`,noWorker:`waits for a worker`,step:(e,t)=>t?`step ${e} of ${t}`:`step ${e}`,stage:{encode:`reads the prompt and the picture`,section:`makes a section`,decode:`decodes`,finish:`joins the clips`},percent:e=>`${e} %`},delete:{title:e=>`Delete ${U(e,`video`,`videos`)}?`,more:e=>`and ${e} more`,text:`The farm erases everything that it keeps of them. This cannot be undone.`},failed:{at:(e,t)=>`Stopped at section ${e}: ${t}`,cancelled:(e,t)=>e?`Cancelled. ${e} of ${t} sections are kept.`:`Cancelled before it began.`,smaller:`Smaller size`,smallerFilled:e=>`The form has the settings of this video, with a smaller size: about ${e} x ${e}.`,advice:e=>Zt[e]??`Retry goes on after the last finished section.`},library:{search:`Search`,show:`Show`,kinds:{all:`All`,starred:`Starred`,failed:`Failed`},model:`Model`,anyModel:`Any model`,length:`Length`,lengths:{"":`Any length`,short:`Under 3 s`,middle:`3 to 10 s`,long:`10 s and more`},order:`Order`,newest:`Newest first`,oldest:`Oldest first`,none:`No video has ended yet. Finished videos appear here.`,noneFound:`No video matches.`,compare:`Compare`,compareHint:`Select two to nine finished videos.`,download:`Download`},player:{play:`Play`,pause:`Pause`,time:`Time`,back:`A frame back (,)`,on:`A frame on (.)`,speed:`Speed`,loop:`Loop (L)`,full:`Full screen (F)`},video:{missing:`This video is not here. It was deleted, or it belongs to somebody else.`,rename:`Rename`},facts:{steps:e=>U(e,`step`,`steps`),cached:e=>`draft (${e})`,full:`full quality`,frames:e=>`${e} frames`,copySeed:`Copy seed`,asked:e=>`asked for ${e}`,made:e=>`made in ${e} of work`,expires:e=>`kept until ${e}`,more:`All settings`},next:{remix:`Remix`,others:e=>`Other seeds ×${e}`,extend:`Extend`,full:`Again at full quality`,added:e=>`${U(e,`video is`,`videos are`)} in the queue.`,useFrame:`Use this frame as`,filled:`The form has the settings of this video.`,filledWithout:`The store has lost a picture of this video: choose it again. The form has all other settings of the video.`,noFrame:`The farm does not have this frame.`,places:{image:`Start image`,end:`End image`,keyframe:`Keyframe`},extendText:`The new video holds this one and goes on where it ends.`,seconds:`Seconds to add`},remake:{title:`Remake from here`,inverted:`FramePack makes the end first. Choose a section: the farm makes it and all sections to its left again, and keeps those to its right. Seed, size, window and model stay the same.`,forward:`Choose a section: the farm makes it and all sections to its right again, and keeps those to its left. Seed, size, window and model stay the same.`,kept:`stays`,again:`again`,what:(e,t)=>t?`The new video makes ${e} again and shares ${t} with this one.`:`The new video makes all sections again.`,sections:(e,t)=>e===t?`section ${e}`:`sections ${e} ${t===e+1?`and`:`to`} ${t}`,prompt:`New prompt`,act:`Remake`},family:{title:`Family`,this:`this video`,longer:e=>`${e} s`},menu:{lastFrame:`Last frame (PNG)`,frames:`Frames (ZIP)`,latents:`Latents`,export:`Export for another farm`,copyAs:e=>`Copy as ${e}`,copied:e=>`Copied as ${e}.`,readsKey:`It reads your key from the variable FARM_API_KEY.`},workers:{none:`No worker has joined yet. A worker that starts with the farm needs a moment. Until then, videos wait and nothing is lost.`,waits:(e,t)=>`${U(e,`video waits`,`videos wait`)} for ${t}.`,lend:`Lend a GPU`,lendStart:`Other machines can reach the farm if it starts with its address in your network. On the farm’s machine, type:`,up:e=>`framefarm up --node-ip ${e} --ray-port 6379`,lendJoin:`The farm then prints the path of its token. Copy the token to the machine with the GPU. There, type:`,join:e=>`RAY_AUTH_TOKEN_PATH=farm.token framefarm join ${e}:6379`,lendNeeds:`Both machines must see the farm’s storage: S3, or a shared folder. The GPU works for the farm until you stop it.`,pace:e=>`${e<10?e.toFixed(1):Math.round(e)} s a section`,hours:e=>`Works ${e} only.`,outsideHours:`outside its hours`,somebody:`a video of somebody else`,states:{idle:`waits for work`,busy:`works`,paused:`is paused`,draining:`drains`,drained:`is drained`},drain:`Drain`,order:{pause:`Pause`,resume:`Resume`,drain:`Drain`},sure:{pause:e=>`Pause ${e}?`,resume:e=>`Let ${e} work again?`,drain:e=>`Drain ${e}?`},explain:{pause:`It stops at its next step, keeps that step, and frees the memory of its GPU. Another worker goes on with the video.`,resume:`It takes on work again.`,drain:`It keeps its last finished step and its process ends. No other worker starts in its place until you resume it.`}},queue:{running:`Running`,watch:`Watch it`,waiting:`Waiting`,wait:e=>`${e} wait`,paused:`Paused`,pauseAll:`Pause all mine`,cancelWaiting:`Cancel all waiting`,resumeAll:`Resume all`,filter:`Filter`,none:`Nothing waits. Drop a photo.`,noneFound:`No waiting video matches.`,priority:`Priority`,priorityHint:`From -10 to 10; higher ones go first.`,name:`Name`,prompt:`Prompt`,seed:e=>`seed ${e}`,seeds:e=>`${e} seeds`,next:`is next`,before:e=>`${e} before it`,waitsFor:e=>`waits for ${e}`,kept:(e,t)=>e?`${e} of ${t} sections are kept`:`not begun yet`,times:e=>`×${e}`,openBatch:e=>`Show the ${e} videos`,closeBatch:`Hide the videos`,place:e=>`place ${e}`,move:e=>`Move ${W(e)}`,moveHint:`Drag it to another place. By keys: Space lifts and drops it, arrows move it, Esc puts it back.`,lifted:(e,t,n)=>`${W(e)} is lifted, place ${t} of ${n}. Arrows move it, Space drops it, Esc puts it back.`,shifted:(e,t)=>`Place ${e} of ${t}.`,dropped:(e,t)=>`${W(e)} is at place ${t}.`,putBack:e=>`${W(e)} is back in its place.`,ends:{first:`First`,last:`Last`},pick:e=>`Select ${W(e)}`,pickAll:e=>`All ${e}`,picked:e=>`${e} selected`,sureCancel:e=>`Cancel ${U(e,`waiting video`,`waiting videos`)}?`,sureCancelText:`The running video goes on. The farm keeps the finished sections of the others until you delete them.`,editing:e=>`Edit “${W(e)}”`,editRunning:`A worker is making this video, so only its name can be changed. Pause it to save your other changes. Your text stays here.`,editEnded:e=>`This video ${e}, so only its name can be changed. Your text stays here until you close it: copy it, and remix the video.`,editDeleted:`This video was deleted. Your text stays here until you close it.`,dispatcherAway:e=>`The farm hands out no work at the moment: ${e}. Nothing is lost.`},create:{image:`Start image`,dropHere:`Drop a photo here, or a file with settings; paste one, or`,choose:`choose a photo`,photograph:`Take a photo`,replace:`Replace`,removeImage:`Remove the start image`,madeIn:(e,t)=>`The video is ${e} x ${t}.`,cutOff:e=>`${e} % of the picture is cut off.`,imageMissing:`Choose a start image. This model needs one.`,noEnd:`This model takes no end image. Remove it, or choose another model.`,noKeyframes:`This model takes no keyframes. Remove them, or choose another model.`,prompt:`Prompt`,whatHappens:`What happens?`,promptMissing:`Say what happens in the video.`,guide:`How to write a prompt`,presets:`Presets`,savePreset:`+ Save as preset`,presetName:`Name of the preset`,saveAsStart:`Save, and begin with it`,length:`Length`,seconds:`Seconds`,lengthIs:(e,t)=>`${e}, ${U(t,`section`,`sections`)}`,quality:`Quality`,qualities:{draft:{name:`Draft`,help:`Skips steps that change little (TeaCache): about half the work, and less exact.`},full:{name:`Full`,help:`Computes every step: exact.`}},variants:`Variants`,seeds:`Seeds`,seedsHelp:`Write the seeds yourself: one video for each`,seedsWrong:e=>`Write at most ${e} whole numbers, separated by commas.`,more:`More: seed, steps, guidance, LoRAs …`,changed:e=>`${e} changed`,putBack:e=>`Put ${e} back`,lockSeed:`Keep the seed of the newest video`,unlockSeed:`Let each video have another seed`,deletePreset:e=>`Delete the preset ${e}`,presetDeleted:e=>`The preset “${e}” was deleted.`,drawSeed:`Draw a seed and keep it`,farmsChoice:`The farm chooses`,farmsModel:e=>`The farm’s choice: ${e}`,noJson:`This is not JSON yet.`,deadline:`Deadline, in seconds`,deadlineHelp:`Videos that would miss it go first.`,deadlineWrong:`need a number of seconds above 0, such as 600`,loras:`LoRAs`,addLora:`Add a LoRA`,removeLora:e=>`Remove ${e}`,weight:`Weight`,addToPrompt:`Add to the prompt`,generate:`Generate`,keys:`Ctrl+Enter, or Cmd+Enter`,sending:`Sending …`,sendingLater:`This browser keeps your video and sends it as soon as the farm can take it. You need do nothing.`,refusedLater:(e,t)=>`“${W(e)}” was refused: ${t}`,added:`It is in the queue.`,addedMany:e=>`${e} videos are in the queue.`,clear:`Clear the form`,cleared:`The form is empty.`,tryIn:e=>`Try again in ${e} s.`,nothingYet:`Your video appears here while it is made.`},picture:{broken:`The browser cannot read this picture. Save it as JPEG or PNG and try again.`,format:(e,t)=>`The farm does not take ${e.replace(`image/`,``).toUpperCase()}. Send ${t.map(e=>e.replace(`image/`,``).toUpperCase()).join(`, `)}.`,tooLarge:(e,t)=>`The file is ${e.toFixed(0)} MB. The farm takes at most ${t} MB. Save a smaller copy.`,tooManyPixels:(e,t,n)=>`The picture has ${e} x ${t} px. The farm takes at most ${(n/1e6).toFixed(0)} million pixels. Make it smaller.`,tooSmall:(e,t,n)=>`The picture has ${e} x ${t} px. Each side needs at least ${n} px. Choose a larger picture.`},estimate:{frames:e=>`${e} frames`,each:(e,t)=>`${e} videos of ${t} frames`,takes:(e,t)=>`about ${e}${t?` on ${t}`:``}`,noWorker:`waits for a worker to start`,noAble:`no worker here can make it yet`,place:e=>e===1?`next in the queue`:`number ${e} in the queue`},file:{title:e=>`What do you want to do with ${W(e)}?`,reading:`The farm reads the file …`,filling:`The page fills the form …`,readingFrame:`The page reads the last frame …`,frameName:e=>`${e} last frame.png`,from:e=>`It comes from ${e}.`,take:`Take its settings`,each:e=>`${e} videos, one each`,extend:`Extend this video`,lastFrame:`Take its last frame`,leftOut:e=>`${U(e,`setting is`,`settings are`)} left out`,video:e=>`Video ${e}:`,filled:`The form has the settings of the file.`,noFrame:`The browser cannot show this video. Use an mp4 with H.264.`},many:{title:e=>`How should the farm use ${U(e,`picture`,`pictures`)}?`,text:`The form’s settings apply to all of them. A text file named like a picture holds its prompt.`,each:e=>e===1?`1 video of the picture`:`${e} videos, one for each picture`,pairs:e=>`${U(e,`video`,`videos`)}, each from a first to a last picture`,sending:(e,t)=>`Sending ${e} of ${t} …`,made:e=>e===1?`1 video is in the queue.`:`${e} videos are in the queue.`,refused:e=>`Refused: ${e.join(`; `)}`},timeline:{title:`Timeline`,endFirst:`FramePack makes the end first.`,addPrompt:`Add a prompt later on`,addKeyframe:`Keyframe`,addEnd:`End image`,replaceEnd:`Replace the end image`,endImage:`End image`,loop:`Loop`,fade:`Fade, in sections`,from:`from`,begins:e=>`When prompt ${e} begins`,text:e=>`Prompt ${e}`,split:e=>`Split prompt ${e}`,keyframe:e=>`Keyframe at ${e.toFixed(1)} s`,remove:e=>`Remove: ${e}`,cut:e=>`${U(e,`prompt begins`,`prompts begin`)} after the end of the video. Move or remove ${e===1?`it`:`them`}.`,notHere:e=>`${e} makes the start first, so it takes no end image, no keyframes and no loop.`},watch:{sofar:`The finished part`,strip:`Sections, from the start to the end of the video`,cell:(e,t)=>`Section ${e}: ${{done:`finished`,now:`is made now`,open:`not begun`}[t]}`,endFirst:`FramePack makes the end first: the strip fills from the right.`,live:e=>`step ${e}`,section:`This section`,whole:`whole video`},fields:{model:`Model`,seed:`Seed`,num_inference_steps:`Steps`,guidance_scale:`Distilled guidance`,true_cfg_scale:`True CFG`,guidance_rescale:`CFG rescale`,negative_prompt:`Negative prompt`,latent_window_size:`Latent window`,size:`Size`,resolution:`Resolution`,cache:`Step cache`,cache_threshold:`Cache threshold`,decode:`Decode`,decode_tile_px:`Decode tile`,crf:`H.264 quality (CRF)`,preserve_gb:`GPU memory to preserve, GB`,priority:`Priority`,name:`Name`,webhook_url:`Webhook address`,webhook_secret:`Webhook secret`,allow_mixed:`Mixed workers`,start:`First frame`,no_metadata:`No metadata in the mp4`},help:{model:`F1 models make the start first, and the others make the end first.`,seed:`The same seed and settings make the same video. Empty: the farm draws one.`,num_inference_steps:`Denoising steps in each section. More steps take longer.`,guidance_scale:`How closely to follow the prompt.`,true_cfg_scale:`Above 1, the negative prompt acts, and the work doubles.`,negative_prompt:`What must not happen. It acts only if True CFG is above 1.`,size:`Width x height in px, such as 640x608: each 64 to 2048 and a multiple of 16. Empty: the model’s size that is closest in shape to the photo.`,resolution:`The size class: 640 is about 640x640 px. Empty: the model’s own.`,cache:`Skips steps that change little. Only “none” is exact.`,cache_threshold:`Higher values skip more and cost quality. With taylorseer, one step in this many is computed. Empty: the cache’s own.`,decode_tile_px:`The side of a tile in px, if Decode is “tiled”. Empty: it depends on the free memory of the worker.`,preserve_gb:`GPU memory to leave to other programs. Empty: the worker’s own setting.`,webhook_url:`The farm sends a signed POST to this address when the video ends.`,webhook_secret:`It signs the webhook: “whsec_” and base64. Empty: the farm’s own.`,flow_shift:`Higher values spend more steps at high noise. Empty: it depends on the size.`,attention:`How a GPU computes attention. “auto” takes the best exact way; most others need a package on the worker.`,allow_mixed:`Workers that compute slightly differently may share the video.`,start:`What an F1 video without a start image begins with.`,save_frames:`Keep frames as PNG files: those where two sections meet, or all.`,no_metadata:`The mp4 does not record how it was made.`,labels:`Up to 16 texts to find it by, as JSON, such as ["cats", "night"].`,metadata:`Your own facts about the video, as a JSON object of at most 16 KiB.`}},K=class extends Error{status;code;errors;retryAfterS;constructor(e,t,n,r=[],i=null){super(n),this.status=e,this.code=t,this.errors=r,this.retryAfterS=i}of(e){return this.errors.find(t=>t.field===e||t.field.startsWith(`${e}.`))?.message}},Qt=z(!1),$t=z(!1),en=[1,2,4,8,15],tn=`/v1/session`,nn=[0,502,503,504],rn=e=>e instanceof K&&nn.includes(e.status);async function q(e,{method:t=`GET`,body:n,signal:r,insist:i=t===`GET`,key:a,onAgain:o}={}){let s=new Headers({Accept:`application/json`}),c=n instanceof FormData||n instanceof Blob;n&&!c&&s.set(`Content-Type`,`application/json`),t===`POST`&&i&&s.set(`Idempotency-Key`,a??dn());let l={method:t,headers:s,credentials:`same-origin`};n&&(l.body=c?n:JSON.stringify(n)),r&&(l.signal=r);for(let t=0;;t++)try{return await on(e,l)}catch(n){if(!(n instanceof K))throw n;if(n.status===401&&e!==tn){$t.value=!0,await sn(r);continue}if(!i||!rn(n))throw n;o?.(),await fn(en[Math.min(t,en.length-1)]*1e3,r)}}var an=(e,t,n={})=>q(e,{...n,method:`POST`,body:t,insist:!0});async function on(e,t){try{let n=await fetch(e,t);if(!n.ok)throw await ln(n);let r=n.status===204?void 0:await n.json();return Qt.value=!1,r}catch(e){if(t.signal?.aborted)throw e;let n=e instanceof K?e:cn();throw Qt.value=rn(n),n}}function sn(e){return new Promise((t,n)=>{e?.addEventListener(`abort`,()=>n(e.reason),{once:!0});let r=$t.subscribe(e=>{e||queueMicrotask(()=>(r(),t()))})})}var cn=()=>new K(0,`away`,G.away);async function ln(e){let t=Number.parseInt(e.headers.get(`Retry-After`)??``,10),n=await e.json().catch(()=>({}));if(!n.code&&un(e.status))return cn();let r=typeof n.detail==`string`?n.detail:G.refused(e.status);return new K(e.status,n.code??`http_${e.status}`,r,n.errors??[],Number.isNaN(t)?null:t)}var un=e=>e===404||e===429||e>=500,dn=()=>Array.from(crypto.getRandomValues(new Uint8Array(16)),e=>e.toString(16).padStart(2,`0`)).join(``);function fn(e,t){return new Promise((n,r)=>{t?.throwIfAborted();let i=setTimeout(n,e);t?.addEventListener(`abort`,()=>(clearTimeout(i),r(t.reason)),{once:!0})})}var pn=[`in_progress`,`queued`,`paused`],mn=e=>pn.includes(e.status),hn=`starred`,gn=e=>e.labels?.includes(`starred`)??!1,_n=e=>e.frames/e.fps,J=e=>e.name||e.prompt;function vn(e,t,n={}){let r=new URLSearchParams({variant:t,...n});return t===`poster`&&e.poster&&r.set(`v`,e.poster.etag),`/v1/videos/${e.id}/content?${r}`}function yn(e){try{return localStorage.getItem(e)}catch{return null}}function bn(e,t){try{localStorage.setItem(e,t)}catch{}}var xn={hello:null,farm:{dispatcher:`ok`,store:`ok`},videos:new Map,queue:[],workers:new Map,previews:new Map};function Sn(e,t){switch(t.kind){case`hello`:return{...e,hello:t.data,workers:new Map};case`reset`:return{...e,queue:[],previews:new Map};case`video`:return En(e,t.data);case`progress`:return Dn(e,t.data);case`queue`:return On(e,t.data.ids,t.data.positions);case`gone`:return t.data.object===`worker`?{...e,workers:kn(e.workers,t.data.id)}:{...e,videos:kn(e.videos,t.data.id),previews:kn(e.previews,t.data.id)};case`worker`:return{...e,workers:new Map(e.workers).set(t.data.id,t.data)};case`farm`:return{...e,farm:t.data};case`preview`:return{...e,previews:new Map(e.previews).set(t.data.id,t.data)}}}function Cn(e,t,n=new Set){let r=new Map(e.videos);for(let i of t){let t=e.videos.get(i.id);n.has(i.id)?t&&r.set(i.id,Tn(i,{...t,...i.request&&{request:i.request}})):r.set(i.id,Tn(t,i))}return{...e,videos:r}}function wn(e,t){let n=new Set(t.map(e=>e.id));return[...e.videos.values()].filter(e=>mn(e)&&!n.has(e.id)).map(e=>e.id)}function Tn(e,t){if(!e)return t;let n=e.status===`in_progress`&&t.status===`in_progress`?{section:e.section,steps:e.steps}:{},r=t.request??e.request;return{...n,...t,...r&&{request:{...r,prompt:t.prompt,name:t.name}}}}var En=(e,t)=>({...e,videos:new Map(e.videos).set(t.id,Tn(e.videos.get(t.id),t)),previews:mn(t)?e.previews:kn(e.previews,t.id)});function Dn(e,{id:t,...n}){let r=e.videos.get(t);return r?{...e,videos:new Map(e.videos).set(t,{...r,...n})}:e}function On(e,t,n){let r=new Map(e.videos);return t.forEach((e,t)=>{let[i,a]=[r.get(e),n[t]??null];i&&i.queue_position!==a&&r.set(e,{...i,queue_position:a})}),{...e,queue:t,videos:r}}function kn(e,t){if(!e.has(t))return e;let n=new Map(e);return n.delete(t),n}function An(e){let t=new Map(e.queue.map((e,t)=>[e,t])),n=n=>t.get(n.id)??e.queue.length+n.created_at;return[...e.videos.values()].filter(e=>e.status===`queued`).sort((e,t)=>n(e)-n(t))}var jn=(e,t)=>[...e.videos.values()].filter(e=>e.status===t).sort((e,t)=>e.created_at-t.created_at),Y=z(xn),Mn=z(!1),Nn=new Set,Pn=e=>{if(Y.value=Sn(Y.value,e),e.kind===`video`||e.kind===`gone`)for(let t of Nn)t.add(e.data.id)};async function Fn(e){let t=new Set;Nn.add(t);try{let n=await e;return Y.value=Cn(Y.value,In(n),t),n}finally{Nn.delete(t)}}function In(e){return`data`in e?e.data:`id`in e?[e]:e}var Ln=B(()=>jn(Y.value,`in_progress`)),Rn=B(()=>An(Y.value)),zn=B(()=>jn(Y.value,`paused`)),Bn=B(()=>[...Y.value.workers.values()].sort((e,t)=>e.id.localeCompare(t.id))),Vn=B(()=>Y.value.farm.store),Hn=B(()=>Ln.value.length+Rn.value.length+zn.value.length),Un=B(()=>{let e=Bn.value.filter(e=>e.state===`idle`||e.state===`busy`).length;return Bn.value.length?`${e}/${Bn.value.length}`:``}),Wn=z(``),Gn=B(()=>[[Ln.value[0]&&G.progress.percent(Ln.value[0].progress),Rn.value.length&&G.queue.wait(Rn.value.length)].filter(Boolean).join(` · `),Kn(Y.value,Wn.value),G.farm].filter(Boolean).join(` – `));function Kn({videos:e},t){let[n,r]=t.replace(/^\/ui\/?/,``).split(`/`),i=n===`videos`&&r?e.get(r):void 0;return i?J(i):{"":G.nav.create,queue:G.nav.queue,library:G.nav.library,workers:G.nav.workers}[n??``]??``}var qn=`framefarm-sound`,Jn=z(yn(qn)===`on`),Yn=z(``),Xn=null;function Zn(){Jn.value=!Jn.value,bn(qn,Jn.value?`on`:`off`),Jn.value&&Qn()}function Qn(){Xn??=new AudioContext;for(let[e,t]of[[0,660],[.14,880]]){let[n,r]=[Xn.createOscillator(),Xn.createGain()],i=Xn.currentTime+e;n.frequency.value=t,r.gain.setValueAtTime(.12,i),r.gain.exponentialRampToValueAtTime(.001,i+.4),n.connect(r).connect(Xn.destination),n.start(i),n.stop(i+.4)}}function $n(e,t){return e===t?[]:[...t.values()].filter(t=>!mn(t)&&mn(e.get(t.id)??t))}var er=[`completed`,`failed`];function tr(){let e=Y.peek().videos;V(()=>{let t=Y.value.videos,n=$n(e,t).filter(e=>er.includes(e.status));e=t,n.length&&(Yn.value=n.map(e=>G.done.ended(J(e),G.status[e.status])).join(` `),Jn.peek()&&Qn())})}var nr=z(null),rr=z([]),ir=z([]),ar=z([]),or=e=>rr.value.find(t=>t.id===e)?.supports.extend??!1,sr=null;function cr(){return sr??=lr().catch(e=>{throw sr=null,e}),sr}async function lr(){return ur(`/v1/models`,rr).catch(()=>void 0),nr.value=await q(`/v1/farm`)}async function ur(e,t){t.value=(await q(e)).data}var dr=()=>ur(`/v1/presets`,ir),fr=()=>ur(`/v1/loras`,ar),pr=Symbol.for(`pv`),mr=0;Array.isArray;function X(e,t,r,i,a,o){t||={};var s,c,l=t;if(`ref`in l&&typeof e!=`function`)for(c in l={},t)c==`ref`?s=t[c]:l[c]=t[c];var u={type:e,props:l,key:r,ref:s,__k:null,__:null,__b:0,__e:null,__c:null,constructor:pr,__v:--mr,__i:-1,__u:0};return(a||o)&&(u.__source=a,u.__self=o),n.vnode&&n.vnode(u),u}var hr=z(null),gr;function Z(e,t={}){clearTimeout(gr),hr.value={text:e,...t},gr=setTimeout(()=>hr.value=null,t.isBad?1e4:5e3)}function _r(){let e=hr.value;return X(`div`,{class:`toasts`,role:`status`,children:e&&X(`div`,{class:`toast ${e.isBad?`bad`:``}`,children:[X(`span`,{children:e.text}),e.undo&&X(`button`,{class:`quiet`,onClick:()=>{hr.value=null,e.undo?.()},children:G.act.undo})]})})}var vr={prompt:``,values:{},preset:null,image:null,end:null,keyframes:[],variants:1,seeds:``},Q=z(vr),yr=e=>JSON.stringify({...vr,...e})===JSON.stringify(vr),br=e=>{Q.value={...Q.value,...e}};function xr(e,t){let{[e]:n,...r}=Q.value.values;br({values:t===null?r:{...r,[e]:t}})}var Sr=e=>{let{deadline_s:t}=e.metadata??{};return t===void 0?void 0:Number(t)};function Cr(e){let{deadline_s:t,...n}=Q.value.values.metadata??{},r=e===null?n:{...n,deadline_s:e};xr(`metadata`,Object.keys(r).length>0?r:null)}var wr=({preset:e,values:t})=>({...t,...e!==null&&{preset:e}});function Tr({prompt:e,preset:t,...n}){br({preset:typeof t==`string`?t:null,values:n,...typeof e==`string`&&{prompt:e}})}var Er=B(()=>Math.max(1,Or(Q.value,`latent_window_size`,9))),Dr=B(()=>Math.min(Or(Q.value,`seconds`,5),nr.value?.limits.seconds.max??600)),Or=(e,t,n)=>{let r=e.values[t];return typeof r==`number`&&Number.isFinite(r)?r:n};function kr(e){let t=e.split(/[\s,;]+/).filter(Boolean);return t.every(e=>/^\d{1,18}$/.test(e))?t.map(Number):null}function Ar(e){let t=kr(e.seeds)??[],{seed:n,...r}=e.values;return{prompt:e.prompt,...wr({...e,values:r}),...t.length>0?{seeds:t}:{...n!==void 0&&{seed:n},...e.variants>1&&{n:e.variants}},...e.keyframes.length>0&&{keyframes:e.keyframes.map(({at_s:e},t)=>({at_s:e,image:`keyframe_${t}`}))}}}function jr(e){let t=new FormData;for(let[n,r]of Object.entries(Ar(e)))t.set(n,typeof r==`object`?JSON.stringify(r):String(r));return e.image&&t.set(`input_reference`,e.image.blob,e.image.name),e.end&&t.set(`end_image`,e.end.blob,e.end.name),e.keyframes.forEach(({picture:e},n)=>t.set(`keyframe_${n}`,e.blob,e.name)),t}function Mr(){return new Promise(e=>{let t;try{t=indexedDB.open(`framefarm`,1)}catch{return e(null)}t.onupgradeneeded=()=>{t.result.createObjectStore(`drafts`),t.result.createObjectStore(`sent`,{keyPath:`key`})},t.onsuccess=()=>e(t.result),t.onerror=()=>e(null)})}var Nr=Mr();async function Pr(e,t,n){let r=await Nr;if(r)return new Promise(i=>{try{let a=r.transaction(e,t),o=n(a.objectStore(e));a.oncomplete=()=>i(o.result),a.onabort=()=>i(void 0)}catch{i(void 0)}})}var Fr=z(null),Ir=null,Lr=e=>Ir??=Rr(e);async function Rr(e){let t=await Promise.all([`fields`,`pictures`].map(t=>Pr(`drafts`,`readonly`,n=>n.get([e,t]))));t[0]&&Q.peek()===vr&&(Q.value={...vr,...t[0],...t[1]}),Fr.value=e;for(let t of await Pr(`sent`,`readonly`,e=>e.getAll())??[])t.owner===e&&Ur(t).catch(e=>Z(G.create.refusedLater(t.draft.prompt,e.message),{isBad:!0}))}function zr(e,t){let n,r=B(()=>JSON.stringify(t(Q.value),(e,t)=>t instanceof Blob?Vr(t):t));V(()=>{r.value;let[i,a]=[Fr.value,t(Q.peek())];i!==null&&(clearTimeout(n),n=setTimeout(()=>void Pr(`drafts`,`readwrite`,t=>t.put(a,[i,e])),200))})}var Br=new WeakMap;function Vr(e){return Br.has(e)||Br.set(e,dn()),Br.get(e)}zr(`fields`,({prompt:e,values:t,preset:n,variants:r,seeds:i})=>({prompt:e,values:t,preset:n,variants:r,seeds:i})),zr(`pictures`,({image:e,end:t,keyframes:n})=>({image:e,end:t,keyframes:n}));function Hr(e,t){return Ur({key:dn(),owner:Fr.peek()??``,draft:e},t)}async function Ur(e,t=()=>void 0){await Pr(`sent`,`readwrite`,t=>t.put(e));let n=()=>Pr(`sent`,`readwrite`,t=>t.delete(e.key));try{let r=await Fn(an(`/v1/videos`,jr(e.draft),{key:e.key,onAgain:t}));return await n(),r}catch(e){throw e instanceof K&&!rn(e)&&await n(),e}}function Wr(){let{path:e,route:t}=at(),n=F(e);return P(()=>{Wn.value=e,n.current!==e&&document.getElementById(`main`)?.focus({preventScroll:!0}),n.current=e},[e]),P(()=>{let e=e=>{e.dataTransfer?.types.includes(`Files`)&&e.preventDefault()},n=e=>{let n=Array.from(e.dataTransfer?.files??[]);!e.defaultPrevented&&n.length&&(e.preventDefault(),Gr(n).then(()=>t(`/ui/`),()=>void 0))};return addEventListener(`dragover`,e),addEventListener(`drop`,n),()=>{removeEventListener(`dragover`,e),removeEventListener(`drop`,n)}},[t]),null}async function Gr(e){let[{me:t},{takeAll:n}]=await Promise.all([cr(),_t(()=>import(`./create-BOCmZuIB.js`),[])]);await Lr(t.owner),n(e)}var Kr={camera:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-camera"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M13.997 4a2 2 0 0 1 1.76 1.05l.486.9A2 2 0 0 0 18.003 7H20a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2h1.997a2 2 0 0 0 1.759-1.048l.489-.904A2 2 0 0 1 10.004 4z" />
  <circle cx="12" cy="13" r="3" />
</svg>
`,cpu:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-cpu"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 20v2" />
  <path d="M12 2v2" />
  <path d="M17 20v2" />
  <path d="M17 2v2" />
  <path d="M2 12h2" />
  <path d="M2 17h2" />
  <path d="M2 7h2" />
  <path d="M20 12h2" />
  <path d="M20 17h2" />
  <path d="M20 7h2" />
  <path d="M7 20v2" />
  <path d="M7 2v2" />
  <rect x="4" y="4" width="16" height="16" rx="2" />
  <rect x="8" y="8" width="8" height="8" rx="1" />
</svg>
`,dice:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-dices"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="12" height="12" x="2" y="10" rx="2" ry="2" />
  <path d="m17.92 14 3.5-3.5a2.24 2.24 0 0 0 0-3l-5-4.92a2.24 2.24 0 0 0-3 0L10 6" />
  <path d="M6 18h.01" />
  <path d="M10 14h.01" />
  <path d="M15 6h.01" />
  <path d="M18 9h.01" />
</svg>
`,down:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-down"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m6 9 6 6 6-6" />
</svg>
`,download:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-download"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M12 15V3" />
  <path d="M21 15v4a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-4" />
  <path d="m7 10 5 5 5-5" />
</svg>
`,edit:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-pencil"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M21.174 6.812a1 1 0 0 0-3.986-3.987L3.842 16.174a2 2 0 0 0-.5.83l-1.321 4.352a.5.5 0 0 0 .623.622l4.353-1.32a2 2 0 0 0 .83-.497z" />
  <path d="m15 5 4 4" />
</svg>
`,film:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-film"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="18" x="3" y="3" rx="2" />
  <path d="M7 3v18" />
  <path d="M3 7.5h4" />
  <path d="M3 12h18" />
  <path d="M3 16.5h4" />
  <path d="M17 3v18" />
  <path d="M17 7.5h4" />
  <path d="M17 16.5h4" />
</svg>
`,full:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-maximize"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M8 3H5a2 2 0 0 0-2 2v3" />
  <path d="M21 8V5a2 2 0 0 0-2-2h-3" />
  <path d="M3 16v3a2 2 0 0 0 2 2h3" />
  <path d="M16 21h3a2 2 0 0 0 2-2v-3" />
</svg>
`,grip:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-grip-vertical"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="9" cy="12" r="1" />
  <circle cx="9" cy="5" r="1" />
  <circle cx="9" cy="19" r="1" />
  <circle cx="15" cy="12" r="1" />
  <circle cx="15" cy="5" r="1" />
  <circle cx="15" cy="19" r="1" />
</svg>
`,image:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-image"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="18" x="3" y="3" rx="2" ry="2" />
  <circle cx="9" cy="9" r="2" />
  <path d="m21 15-3.086-3.086a2 2 0 0 0-2.828 0L6 21" />
</svg>
`,keyboard:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-keyboard"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M10 8h.01" />
  <path d="M12 12h.01" />
  <path d="M14 8h.01" />
  <path d="M16 12h.01" />
  <path d="M18 8h.01" />
  <path d="M6 8h.01" />
  <path d="M7 16h10" />
  <path d="M8 12h.01" />
  <rect width="20" height="16" x="2" y="4" rx="2" />
</svg>
`,left:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-left"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m15 18-6-6 6-6" />
</svg>
`,list:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-list-video"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M21 5H3" />
  <path d="M10 12H3" />
  <path d="M10 19H3" />
  <path d="M15 12.003a1 1 0 0 1 1.517-.859l4.997 2.997a1 1 0 0 1 0 1.718l-4.997 2.997a1 1 0 0 1-1.517-.86z" />
</svg>
`,lock:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-lock"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="11" x="3" y="11" rx="2" ry="2" />
  <path d="M7 11V7a5 5 0 0 1 10 0v4" />
</svg>
`,loop:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-repeat"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m17 2 4 4-4 4" />
  <path d="M3 11v-1a4 4 0 0 1 4-4h14" />
  <path d="m7 22-4-4 4-4" />
  <path d="M21 13v1a4 4 0 0 1-4 4H3" />
</svg>
`,monitor:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-monitor"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="20" height="14" x="2" y="3" rx="2" />
  <line x1="8" x2="16" y1="21" y2="21" />
  <line x1="12" x2="12" y1="17" y2="21" />
</svg>
`,moon:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-moon"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M20.985 12.486a9 9 0 1 1-9.473-9.472c.405-.022.617.46.402.803a6 6 0 0 0 8.268 8.268c.344-.215.825-.004.803.401" />
</svg>
`,pause:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-pause"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect x="14" y="3" width="5" height="18" rx="1" />
  <rect x="5" y="3" width="5" height="18" rx="1" />
</svg>
`,play:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-play"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M5 5a2 2 0 0 1 3.008-1.728l11.997 6.998a2 2 0 0 1 .003 3.458l-12 7A2 2 0 0 1 5 19z" />
</svg>
`,plus:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-sparkles"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11.017 2.814a1 1 0 0 1 1.966 0l1.051 5.558a2 2 0 0 0 1.594 1.594l5.558 1.051a1 1 0 0 1 0 1.966l-5.558 1.051a2 2 0 0 0-1.594 1.594l-1.051 5.558a1 1 0 0 1-1.966 0l-1.051-5.558a2 2 0 0 0-1.594-1.594l-5.558-1.051a1 1 0 0 1 0-1.966l5.558-1.051a2 2 0 0 0 1.594-1.594z" />
  <path d="M20 2v4" />
  <path d="M22 4h-4" />
  <circle cx="4" cy="20" r="2" />
</svg>
`,retry:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-rotate-ccw"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M3 12a9 9 0 1 0 9-9 9.75 9.75 0 0 0-6.74 2.74L3 8" />
  <path d="M3 3v5h5" />
</svg>
`,right:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-chevron-right"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="m9 18 6-6-6-6" />
</svg>
`,silent:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-volume-x"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11 4.702a.7.7 0 0 0-1.203-.498L6.413 7.587A1.4 1.4 0 0 1 5.416 8H3a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2.416a1.4 1.4 0 0 1 .997.413l3.383 3.384A.7.7 0 0 0 11 19.298z" />
  <path d="m16.5 14.5 5-5" />
  <path d="m16.5 9.5 5 5" />
</svg>
`,sound:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-volume-2"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11 4.702a.705.705 0 0 0-1.203-.498L6.413 7.587A1.4 1.4 0 0 1 5.416 8H3a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2.416a1.4 1.4 0 0 1 .997.413l3.383 3.384A.705.705 0 0 0 11 19.298z" />
  <path d="M16 9a5 5 0 0 1 0 6" />
  <path d="M19.364 18.364a9 9 0 0 0 0-12.728" />
</svg>
`,split:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-scissors"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="6" cy="6" r="3" />
  <path d="M8.12 8.12 12 12" />
  <path d="M20 4 8.12 15.88" />
  <circle cx="6" cy="18" r="3" />
  <path d="M14.8 14.8 20 20" />
</svg>
`,star:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-star"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M11.525 2.295a.53.53 0 0 1 .95 0l2.31 4.679a2.123 2.123 0 0 0 1.595 1.16l5.166.756a.53.53 0 0 1 .294.904l-3.736 3.638a2.123 2.123 0 0 0-.611 1.878l.882 5.14a.53.53 0 0 1-.771.56l-4.618-2.428a2.122 2.122 0 0 0-1.973 0L6.396 21.01a.53.53 0 0 1-.77-.56l.881-5.139a2.122 2.122 0 0 0-.611-1.879L2.16 9.795a.53.53 0 0 1 .294-.906l5.165-.755a2.122 2.122 0 0 0 1.597-1.16z" />
</svg>
`,sun:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-sun"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="12" cy="12" r="4" />
  <path d="M12 2v2" />
  <path d="M12 20v2" />
  <path d="m4.93 4.93 1.41 1.41" />
  <path d="m17.66 17.66 1.41 1.41" />
  <path d="M2 12h2" />
  <path d="M20 12h2" />
  <path d="m6.34 17.66-1.41 1.41" />
  <path d="m19.07 4.93-1.41 1.41" />
</svg>
`,undo:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-undo-2"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M9 14 4 9l5-5" />
  <path d="M4 9h10.5a5.5 5.5 0 0 1 5.5 5.5a5.5 5.5 0 0 1-5.5 5.5H11" />
</svg>
`,unlock:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-lock-open"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <rect width="18" height="11" x="3" y="11" rx="2" ry="2" />
  <path d="M7 11V7a5 5 0 0 1 9.9-1" />
</svg>
`,user:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-user-round"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <circle cx="12" cy="8" r="5" />
  <path d="M20 21a8 8 0 0 0-16 0" />
</svg>
`,x:`<!-- @license lucide-static v1.62.0 - ISC -->
<svg
  class="lucide lucide-x"
  xmlns="http://www.w3.org/2000/svg"
  width="24"
  height="24"
  viewBox="0 0 24 24"
  fill="none"
  stroke="currentColor"
  stroke-width="2"
  stroke-linecap="round"
  stroke-linejoin="round"
>
  <path d="M18 6 6 18" />
  <path d="m6 6 12 12" />
</svg>
`},qr=({name:e})=>X(`span`,{class:`icon`,"aria-hidden":`true`,dangerouslySetInnerHTML:{__html:Kr[e].replace(/<!--.*?-->/s,``)}}),Jr=({icon:e,name:t,onClick:n,class:r=``,isPressed:i,isDisabled:a})=>X(`button`,{type:`button`,class:`quiet square ${r}`,"aria-label":t,title:t,"aria-pressed":i,disabled:a,onClick:n,children:X(qr,{name:e})});function Yr({title:e,onClose:t,isFirm:n=!1,children:r}){let i=F(null),a=Le();return P(()=>{let e=document.activeElement;return i.current?.showModal(),()=>e instanceof HTMLElement&&e.focus()},[]),X(`dialog`,{ref:i,"aria-labelledby":a,onClose:()=>n?i.current?.showModal():t?.(),onCancel:e=>n&&e.preventDefault(),onClick:e=>!n&&e.target===e.currentTarget&&e.currentTarget.close(),children:X(`div`,{class:`column`,children:[X(`h2`,{id:a,children:e}),r]})})}function Xr({class:e,summary:t,summaryClass:n,onOpen:r,children:i}){let a=F(null),o=e=>{a.current.open=!1,e&&a.current.querySelector(`summary`).focus()};return P(()=>{let e=e=>{e.key===`Escape`&&a.current.open&&o(!0)},t=e=>{a.current.open&&!a.current.contains(e.target)&&o(!1)};return addEventListener(`keydown`,e),addEventListener(`pointerdown`,t),()=>{removeEventListener(`keydown`,e),removeEventListener(`pointerdown`,t)}},[]),X(`details`,{ref:a,class:e,onToggle:e=>e.currentTarget.open&&r?.(),onFocusOut:({relatedTarget:e})=>{e instanceof Node&&!a.current.contains(e)&&o(!1)},children:[X(`summary`,{class:n,children:t}),X(`div`,{class:`card`,onClick:e=>e.target instanceof Element&&e.target.closest(`a, button`)&&o(!0),children:i})]})}var Zr=e=>e instanceof HTMLElement&&e.matches(`input:not([type="range"], [type="checkbox"], [type="radio"]), textarea, select, [contenteditable]`);function Qr(e,t,n){let r=e.filter(e=>!t.includes(e)),i=`before`in n?n.before:`after`in n?n.after:null;if(i!==null&&!r.includes(i))return e;let a=`to`in n?n.to===`first`?0:r.length:`before`in n?r.indexOf(n.before):r.indexOf(n.after)+1;return[...r.slice(0,a),...t,...r.slice(a)]}var $r=6;async function ei(e,t){let n=await ai(e,e=>Fn(q(`/v1/videos/${e.id}/${t}`,{method:`POST`,insist:!1})));if(t===`cancel`&&n.length){let e=n.length===1?J(n[0]):null;Z(G.done.cancelled(n.length,e),{undo:()=>void ei(n,`retry`)})}}async function ti(e,t){let n=Y.value.queue,r=Qr(n,e.map(({id:e})=>e),t);ni(r);let i=t;try{for(let{id:t}of e)await Fn(q(`/v1/videos/${t}/move`,{method:`POST`,body:i})),i={after:t}}catch(e){if(!(e instanceof K))throw e;Y.value.queue===r&&ni(n),Z(G.done.notMoved(e.message),{isBad:!0})}}function ni(e){let{queue:t,videos:n}=Y.value;Pn({kind:`queue`,data:{ids:e,positions:t.map(e=>n.get(e)?.queue_position??0)}})}async function ri(e){let t=await ai(e,e=>q(`/v1/videos/${e.id}`,{method:`DELETE`}));for(let{id:e}of t)Pn({kind:`gone`,data:{id:e,object:`video`}});return t.length&&Z(G.done.deleted(t.length)),t.map(({id:e})=>e)}var ii=(e,t)=>Fn(q(`/v1/videos/${e.id}`,{method:`PATCH`,body:t}));async function ai(e,t){let n=[...e],r=[],i=[];return await Promise.all(Array.from({length:$r},async()=>{for(let e=n.shift();e!==void 0;e=n.shift())try{r.push(await t(e))}catch(e){if(!(e instanceof K))throw e;i.push(e)}})),i.length&&Z(G.done.refused(i.length,i[0].message),{isBad:!0}),r}var oi=[`hello`,`reset`,`video`,`progress`,`queue`,`gone`,`worker`,`farm`,`preview`],si=5,ci=50,li=new Map,ui=``,di=null,fi;function pi(){V(()=>void(document.title=Gn.value)),V(()=>{$t.value?vi():_i()}),document.addEventListener(`visibilitychange`,()=>{clearTimeout(fi),document.hidden?fi=setTimeout(bi,si*1e3):_i()}),document.hidden&&bi()}function mi(e){let t=t=>{let n=(li.get(e)??0)+t;n>0?li.set(e,n):li.delete(e),queueMicrotask(gi)};return t(1),()=>t(-1)}var hi=()=>new URLSearchParams([...li.keys()].slice(-4).map(e=>[`preview`,e])).toString();function gi(){di&&ui!==hi()&&(vi(),_i())}function _i(){if(di||$t.value||document.hidden)return;let e=ui=hi(),t=new EventSource(`/v1/events${e&&`?${e}`}`),n=!0;di=t;for(let e of oi)t.addEventListener(e,t=>{Qt.value=!1,Pn({kind:e,data:JSON.parse(t.data)}),(e===`reset`||e===`hello`&&n)&&xi().catch(()=>void 0),e===`hello`&&(n=!1)});t.onerror=()=>{t===di&&(Qt.value=!0,t.readyState===EventSource.CLOSED&&yi())}}function vi(){di?.close(),di=null}async function yi(){vi(),await fn(2e3),await xi().catch(()=>void 0),_i()}function bi(){vi(),xi().catch(()=>void 0).finally(()=>{document.hidden&&(fi=setTimeout(bi,ci*1e3))})}async function xi(){let e=await Fn(Ci(`/v1/videos?limit=100&order=asc&status=open`));Mn.value=!0,await ai(wn(Y.peek(),e),Si)}async function Si(e){try{await Fn(q(`/v1/videos/${e}`))}catch(t){if(!(t instanceof K))throw t;t.status===404&&Pn({kind:`gone`,data:{id:e,object:`video`}})}}async function Ci(e){let t=[];for(let n=``;n!==null;){let r=await q(`${e}${n&&`&after=${n}`}`);t.push(...r.data),n=r.has_more?r.last_id:null}return t}var wi=({why:e,id:t,children:n})=>e?X(`p`,{class:`note bad row`,children:[X(`span`,{id:t,role:`alert`,children:e}),n]}):null;function Ti(e){if(e<90)return`${Math.max(1,Math.round(e))} s`;let t=Math.round(e/60);return t<60?`${t} min`:t%60?`${Math.floor(t/60)} h ${t%60} min`:`${t/60} h`}function Ei(e){if(e<60)return`${e.toFixed(1)} s`;let t=Math.round(e);return`${Math.floor(t/60)}:${String(t%60).padStart(2,`0`)} min`}function Di(e,t=new Date){let n=new Date(e*1e3),r=n.toLocaleTimeString([],{hour:`2-digit`,minute:`2-digit`});return n.toDateString()===t.toDateString()?r:`${n.toLocaleDateString([],{day:`numeric`,month:`short`,...n.getFullYear()!==t.getFullYear()&&{year:`numeric`}})}, ${r}`}function Oi(e,t,n){return`${[e.normalize(`NFKD`).replace(/[^\p{L}\p{N}]+/gu,`-`).replace(/^-+|-+$/g,``).slice(0,48),t.slice(-6)].filter(Boolean).join(`-`)}.${n}`}var ki=({video:e})=>X(`progress`,{"aria-label":G.progress.name,max:100,value:e.progress,"aria-valuetext":G.progress.percent(e.progress)}),Ai=e=>e.status===`in_progress`&&e.worker===null;function ji(e){if(Ai(e))return G.progress.noWorker;if(e.stage!==`section`)return e.stage?G.progress.stage[e.stage]:G.status[e.status];let t=G.progress.section(Math.min((e.section??e.sections_done)+1,e.sections_total),e.sections_total);return e.step?`${t} · ${G.progress.step(e.step,e.steps)}`:t}var Mi=e=>e.eta_s===null?``:G.time.left(Ti(e.eta_s));function Ni(e){return e.waiting_for?G.queue.waitsFor(e.waiting_for):e.queue_position===null?G.status[e.status]:e.queue_position?G.queue.before(e.queue_position):G.queue.next}var Pi=({video:e})=>X(`a`,{class:`title`,href:`/ui/videos/${e.id}`,title:J(e),children:J(e)}),Fi=30,Ii=e=>4*e/Fi;function Li(e,t){let n=e/Ii(t),r=Math.floor(n),i=n-r,a=Math.abs(i-.5)<1e-9?r+r%2:Math.round(n);return Math.max(1,a)}var Ri=(e,t)=>Math.round(e*Ii(t)*1e3)/1e3,zi=(e,t)=>4*t*e+1;function Bi(e,t){let[n,r]=[e[0]/e[1],t[0]/t[1]];return 1-Math.min(n/r,r/n)}function Vi(e,t){let n=null,r=1/0,i=[...t].sort((e,t)=>Wi(e)[1]-Wi(t)[1]);for(let t of i){let[i,a]=Wi(t),o=Math.abs(e[1]*i-e[0]*a);o<=r&&([n,r]=[t,o])}return n}var Hi=([e,t])=>({aspectRatio:`${e} / ${t}`,width:`min(100%, calc(48vh * ${(e/t).toFixed(4)}))`});function Ui(e){let[t,n]=Wi(e);return Math.max(64,Math.floor(Math.sqrt(t*n/2)/16)*16)}function Wi(e){let[t=1,n=1]=e.split(`x`).map(Number);return[t,n]}var Gi=7.5;function Ki({src:e,size:t,isPlaying:n}){let r=H(null);P(()=>{let n=!0,i=new Image;return i.src=e,i.decode().then(()=>{let[a,o]=Wi(t),s=Math.max(1,Math.round(i.naturalWidth/i.naturalHeight*(o/a)));n&&(r.value={src:e,count:s})},()=>void 0),()=>{n=!1}},[e]);let i=r.value;return i?X(`span`,{class:`frames ${n?`playing`:``}`,style:{aspectRatio:t.replace(`x`,` / `),backgroundImage:`url("${i.src}")`,backgroundSize:`${i.count*100}% 100%`,animationDuration:`${i.count/Gi}s`,animationTimingFunction:`steps(${i.count}, jump-none)`}}):null}function qi({video:e,class:t=``}){let[n=1,r=1]=e.size.split(`x`).map(Number),i=vn(e,`poster`);return X(`span`,{class:`poster ${t}`,children:e.poster&&X(`img`,{src:i,alt:``,width:n,height:r,loading:`lazy`,decoding:`async`,onError:e=>e.currentTarget.hidden=!0},i)})}function Ji({video:e,children:t}){let n=H([]),r=F(new Map),i=e.frames_ready,a=or(e.model);P(()=>{i>0&&!n.value.includes(i)&&(n.value=[...n.value.slice(0,1),i])},[e.id,i]);let o=async t=>{let[i,o]=[r.current.get(n.value[0]),r.current.get(t)];if(!i||!o||i===o)return;let s=n.value[0];await Xi(i,o,(Math.min(Math.floor(i.currentTime*e.fps+.01),s-1)+(a?0:t-s)+.5)/e.fps),n.value[1]===t&&(n.value=[t])};return X(`div`,{class:`growing`,style:Hi(Wi(e.size)),children:[n.value.length===0&&X(qi,{video:e}),n.value.map((t,n)=>X(`video`,{ref:e=>void(e?r.current.set(t,e):r.current.delete(t)),class:n>0?`loading`:``,"aria-label":G.watch.sofar,"aria-hidden":n>0,src:vn(e,`partial`,{v:`${t}`}),autoplay:n===0,controls:n===0,preload:`auto`,muted:!0,loop:!0,playsInline:!0,onLoadedData:()=>void o(t)},t)),t]})}var Yi=new WeakSet;async function Xi(e,t,n){let r=!e.paused||Yi.has(e);r&&Yi.add(e),e.pause(),await new Promise(e=>{t.addEventListener(`seeked`,e,{once:!0}),t.currentTime=n}),r&&await t.play().catch(()=>void 0)}var Zi=(e,t,n)=>n?e<t:e>t,Qi=(e,t,n)=>n?e:t-1-e;function $i(e){let[t,n]=[e[0]+1,e.at(-1)+1];return G.remake.sections(t,n)}function ea({video:e}){let t=H(null),[n,r]=Wi(e.size),i=e.status===`in_progress`?e.section??e.sections_done:null,a=F(null);return P(()=>ta(a.current,a.current?.querySelector(`.now`)),[i]),X(`figure`,{class:`strip`,children:[X(`ol`,{ref:a,"aria-label":G.watch.strip,style:{gridTemplateColumns:`repeat(${e.sections_total}, minmax(24px, 1fr))`},children:Array.from({length:e.sections_total},(a,o)=>{let s=Qi(o,e.sections_total,or(e.model)),c=s<e.sections_done;return X(`li`,{class:c?`done`:s===i?`now`:``,style:{aspectRatio:`${n} / ${r}`},"aria-label":G.watch.cell(o+1,c?`done`:s===i?`now`:`open`),onPointerEnter:()=>t.value=s,onPointerLeave:()=>t.value=null,children:c&&X(Ki,{src:vn(e,`preview`,{section:`${s}`}),size:e.size,isPlaying:t.value===s})},s)})}),!or(e.model)&&e.sections_total>1&&e.status!==`completed`&&X(`figcaption`,{class:`small soft`,children:G.watch.endFirst})]})}function ta(e,t){if(!e||!t)return;let[n,r]=[e.getBoundingClientRect(),t.getBoundingClientRect()];(r.left<n.left||r.right>n.right)&&(e.scrollLeft+=r.left+r.width/2-n.left-n.width/2)}var na=t({Watch:()=>ra});function ra({video:e}){let t=e.status===`in_progress`;return P(()=>t?mi(e.id):void 0,[e.id,t]),X(`section`,{class:`card watch`,"aria-label":J(e),children:[X(Ji,{video:e,children:X(aa,{video:e})}),X(`h2`,{class:`title`,children:J(e)}),X(oa,{video:e}),X(ea,{video:e}),X(`div`,{class:`row`,children:[t||e.status===`queued`?X(ia,{icon:`pause`,text:G.act.pause,act:()=>ei([e],`pause`)}):null,e.status===`paused`&&X(ia,{icon:`play`,text:G.act.resume,act:()=>ei([e],`resume`)}),mn(e)&&X(ia,{icon:`x`,text:G.act.cancel,act:()=>ei([e],`cancel`)}),X(`a`,{class:`button end`,href:`/ui/videos/${e.id}`,children:G.act.open})]})]})}function ia({icon:e,text:t,act:n}){return X(`button`,{type:`button`,onClick:()=>void n(),children:[X(qr,{name:e}),t]})}function aa({video:e}){let t=Y.value.previews.get(e.id);return!t||e.status!==`in_progress`?null:X(`figure`,{class:`live`,children:[X(Ki,{src:`/v1/videos/${e.id}/content?variant=live&v=${t.etag}`,size:e.size,isPlaying:!0}),X(`figcaption`,{class:`small number`,children:G.watch.live(t.step)})]})}function oa({video:e}){return e.status===`failed`?X(`p`,{class:`note bad`,children:e.error?.message}):mn(e)?X(`div`,{class:`bars small number`,children:[e.status===`in_progress`&&e.step!==null&&e.steps?X(w,{children:[X(`span`,{children:G.progress.section(Math.min((e.section??e.sections_done)+1,e.sections_total),e.sections_total)}),X(`progress`,{"aria-label":G.watch.section,max:e.steps,value:e.step}),X(`span`,{class:`soft`,children:G.progress.step(e.step,e.steps)})]}):null,X(`span`,{children:G.watch.whole}),X(ki,{video:e}),X(`span`,{class:`soft`,children:G.progress.percent(e.progress)}),X(`p`,{class:`soft`,children:e.status===`queued`?Ni(e):[e.status===`paused`?G.status.paused:Mi(e),Ai(e)?G.progress.noWorker:e.worker].filter(Boolean).join(` · `)})]}):X(`p`,{class:`small soft`,children:G.status[e.status]})}function sa({number:e,onNumber:t,...n}){let r=F(null),i=H(null);Pe(()=>{e===void 0&&i.value===null&&(r.current.value=``)},[e]);let a=e===void 0||Number.isNaN(e)?``:`${e}`;return X(`input`,{...n,ref:r,type:`number`,value:i.value??a,onInput:({currentTarget:e})=>{i.value=e.value,t(e.value===``&&!e.validity.badInput?null:e.valueAsNumber)},onBlur:()=>i.value=null})}function ca(e){let t=e.paths[`/v1/videos`].post.requestBody.content[`multipart/form-data`].schema;return Object.entries(t.properties??{}).map(([e,t])=>la(e,t))}function la(e,t){let n={...t,...t.anyOf?.find(e=>e.type!==`null`)};return{name:e,kind:ua(n),help:t.description??``,standard:t.default??null,choices:n.enum??[],min:n.minimum??n.exclusiveMinimum??null,max:n.maximum??null,step:n.multipleOf??null,maxLength:n.maxLength??null}}function ua(e){return e.enum?`choice`:e.format===`binary`?`file`:e.format===`password`?`secret`:e.type===`boolean`?`switch`:e.type===`integer`?`whole`:e.type===`number`?`number`:e.type===`array`||e.type===`object`?`json`:`text`}var da=e=>G.fields[e]??e[0].toUpperCase()+e.slice(1).replaceAll(`_`,` `),fa=({name:e,help:t})=>G.help[e]??(t&&`${t[0].toUpperCase()}${t.slice(1)}.`),pa=e=>Array.from(e).length;function ma(e,t){return e.kind===`number`||e.kind===`whole`?ha(e,t):typeof t==`string`&&e.maxLength!==null&&pa(t)>e.maxLength?`need at most ${e.maxLength} characters`:null}function ha(e,t){return typeof t!=`number`||Number.isNaN(t)?`need a number`:e.kind===`whole`&&!Number.isInteger(t)?`need a whole number`:e.min!==null&&t<e.min?`need at least ${e.min}`:e.max!==null&&t>e.max?`need at most ${e.max}`:null}var ga=z(new Map);async function _a(){ga.value.size===0&&(ga.value=new Map(ca(await q(`/openapi.json`)).map(e=>[e.name,e])))}var va=B(()=>ir.value.find(({name:e})=>e===Q.value.preset)?.fields??{}),ya=({name:e,standard:t})=>va.value[e]??t,ba=B(()=>{let e=Q.value.values.model??nr.value?.model;return rr.value.find(t=>t.id===e)??null});function xa(){let e=H(null),t=H(!1),{route:n}=at();return{problem:e,busy:t,make:async(r,i)=>{if(!t.value){[t.value,e.value]=[!0,null];try{let e=await Fn(an(r,i));n(`/ui/videos/${e.id}`)}catch(t){if(!(t instanceof K))throw t;e.value=t}finally{t.value=!1}}}}}function Sa({source:e,prompt:t,onMade:n}){let{problem:r,busy:i,make:a}=xa();return X(`form`,{class:`card column`,onSubmit:async t=>{t.preventDefault();let i=new FormData(t.currentTarget);e instanceof File?i.set(`video`,e,e.name):i.set(`video`,JSON.stringify({id:e})),await a(`/v1/videos/extensions`,i),r.value||n?.()},children:[X(`p`,{class:`small soft`,children:G.next.extendText}),X(`label`,{class:`field`,children:[G.queue.prompt,X(`textarea`,{name:`prompt`,rows:2,required:!0,defaultValue:t})]}),X(`label`,{class:`field`,children:[G.next.seconds,X(`input`,{name:`seconds`,type:`number`,min:.1,max:600,step:`any`,required:!0,defaultValue:`2.4`})]}),X(wi,{why:r.value?.message}),X(`button`,{class:`primary`,disabled:i.value,children:G.next.extend})]})}async function Ca(e,t){let n=nr.value?.limits,r=e.size/2**20;if(n&&r>n.upload_mb)throw Error(G.picture.tooLarge(r,n.upload_mb));if(n&&e.type.startsWith(`image/`)&&!n.image_formats.includes(e.type))throw Error(G.picture.format(e.type,n.image_formats));let i=URL.createObjectURL(e);try{let r=await Ta(i),{naturalWidth:a,naturalHeight:o}=r;if(n&&a*o>n.pixels)throw Error(G.picture.tooManyPixels(a,o,n.pixels));if(n&&Math.min(a,o)<n.image_side_px)throw Error(G.picture.tooSmall(a,o,n.image_side_px));return await r.decode().catch(wa),{blob:e,name:t,width:a,height:o}}finally{URL.revokeObjectURL(i)}}var wa=()=>{throw Error(G.picture.broken)};async function Ta(e){let t=new Image,n=new Promise((e,n)=>Object.assign(t,{onload:e,onerror:n}));return t.src=e,await n.catch(wa),t}var Ea=e=>Array.from(e?.files??[]),Da=new Set([`prompt`,`keyframes`,`preset`,`name`,`metadata`,`priority`]);async function Oa(e){await Na();let t={...(e.request?e:await q(`/v1/videos/${e.id}`)).request},n={input_reference:`start`,end_image:`end`},r=!0,i=t=>Fa(e,n[t]??t).catch(e=>{if(!(e instanceof K)||e.code!==`damaged`)throw e;return r=!1,null}),a=t.labels?.filter(e=>e!==hn);await Aa({...t,labels:a??null,prompt:e.prompt,seed:e.seed},i,()=>r?G.next.filled:G.next.filledWithout)}async function ka({fields:e,images:t},n){await Na();let{prompt:r,image:i}=Q.value,a=async e=>{let n=t[e],r=n?await La(`/v1/files/${n.file_id}/content`):null;return r&&Ca(await r.blob(),`${e}.png`)},o=async e=>await a(e)??(e===`input_reference`?i:null);await Aa({prompt:r,...e},o,()=>G.file.filled,n)}async function Aa(e,t,n,r){let i=e.keyframes??[],a=Object.entries(e).filter(([e,t])=>!Da.has(e)&&Pa(e,t)),[o,s,...c]=await Promise.all([`input_reference`,`end_image`,...i.map(e=>e.image)].map(t));r?.throwIfAborted();let l=Q.value;Q.value={...vr,prompt:String(e.prompt??``),values:Object.fromEntries(a),image:o??null,end:s??null,keyframes:i.flatMap(({at_s:e},t)=>c[t]?[{at_s:e,picture:c[t]}]:[])},Z(n(),{undo:()=>Q.value=l})}async function ja(e){let t=Q.value;await Oa(e);let n=Ui(e.size),{size:r,...i}=Q.value.values;br({values:{...i,resolution:n}}),Z(G.failed.smallerFilled(n),{undo:()=>Q.value=t})}async function Ma(e,t,n){await Na();let r=Math.min(t,(e.frames-.5)/e.fps),i=Math.floor(r*10)/10,a=await Fa(e,`frame`,{at_s:r.toFixed(3)},`${J(e).slice(0,40)} ${i.toFixed(1)} s.png`);if(!a)throw new K(404,`not_found`,G.next.noFrame);br(n===`keyframe`?{keyframes:[...Q.value.keyframes,{at_s:i,picture:a}]}:n===`image`?{image:a}:{end:a})}async function Na(){let[{me:e}]=await Promise.all([cr(),_a()]);await Lr(e.owner)}function Pa(e,t){let n=ga.value.get(e)?.standard??null;return ga.value.has(e)&&t!==null&&JSON.stringify(t)!==JSON.stringify(n)}async function Fa(e,t,n={},r=`${t}.png`){let i=await La(vn(e,t,n));return i&&Ca(await i.blob(),r)}async function Ia(e,t){let n=await La(vn(e,t));return await n?.body?.cancel(),n!==null}async function La(e){let t=await fetch(e).catch(()=>Promise.reject(new K(0,`away`,G.away)));if(t.ok)return t;if(t.status===404||t.status===422)return null;let{code:n,detail:r}=await t.json().catch(()=>({}));throw new K(t.status,typeof n==`string`?n:`http_${t.status}`,typeof r==`string`?r:G.refused(t.status))}var $=z(null),Ra=()=>void($.value=null);function za(e,t){let n=new Set($.value);for(let r of e)t?n.add(r):n.delete(r);$.value=n}var Ba=({class:e})=>X(`button`,{type:`button`,class:e,"aria-pressed":$.value!==null,onClick:()=>$.value=$.value?null:new Set,children:$.value?G.act.done:G.act.select});function Va({videos:e,count:t,children:n}){let r=e.length>0&&e.every(e=>$.value?.has(e.id));return X(`div`,{class:`pick-bar card row`,role:`group`,"aria-label":G.queue.picked(t),children:[X(`label`,{class:`row`,children:[X(`input`,{type:`checkbox`,checked:r,onChange:t=>za(e.map(({id:e})=>e),t.currentTarget.checked)}),G.queue.pickAll(e.length)]}),X(`strong`,{class:`number`,role:`status`,children:G.queue.picked(t)}),X(`div`,{class:`row end`,children:n})]})}async function Ha(e){for(let{url:t,name:n}of e){let r=document.createElement(`a`);r.href=t,r.download=n,r.click(),e.length>1&&await fn(400)}}var Ua=({video:e,class:t=``})=>X(Jr,{icon:`star`,name:G.act.star,class:`star ${t}`,isPressed:gn(e),onClick:()=>Wa(e)}),Wa=e=>{let t=(e.labels??[]).filter(e=>e!==hn);return ai([e],()=>ii(e,{labels:gn(e)?t:[...t,hn]}))};function Ga({video:e}){let{route:t}=at();if(e.error?.code!==`out_of_memory`)return null;let n=async()=>{try{await ja(e),t(`/ui/`)}catch(e){Z(e.message,{isBad:!0})}};return X(`button`,{type:`button`,onClick:()=>void n(),children:G.failed.smaller})}var Ka=({video:e,class:t,isMain:n=!1})=>X(w,{children:[X(`p`,{class:`${t} ${e.error?`bad`:``}`,children:e.error?G.failed.at(e.sections_done+1,e.error.message):G.failed.cancelled(e.sections_done,e.sections_total)}),e.error&&X(`p`,{children:G.failed.advice(e.error.code)}),X(`div`,{class:`row`,children:[X(`button`,{type:`button`,class:n?`primary`:``,onClick:()=>ei([e],`retry`),children:[X(qr,{name:`retry`}),G.act.retry]}),X(Ga,{video:e})]})]});function qa(e){if(navigator.clipboard)return navigator.clipboard.writeText(e).catch(()=>Ja(e));Ja(e)}function Ja(e){let t=document.createElement(`textarea`);t.value=e,t.className=`unseen`,(document.querySelector(`dialog[open]`)??document.body).append(t),t.select(),document.execCommand(`copy`),t.remove()}function Ya({text:e,name:t=G.act.copy}){let n=H(!1);return X(`button`,{type:`button`,class:`quiet`,onClick:async()=>{await qa(e),n.value=!0,setTimeout(()=>n.value=!1,2e3)},children:n.value?G.act.copied:t})}export{wi as $,bn as $t,na as A,F as An,nr as At,Ri as B,Zn as Bt,ya as C,it as Cn,kr as Ct,da as D,P as Dn,_r as Dt,fa as E,ot as En,Er as Et,Ki as F,_e as Fn,ar as Ft,Pi as G,zn as Gt,Li as H,Mn as Ht,Vi as I,rr as It,Ni as J,Vn as Jt,ji as K,Rn as Kt,Bi as L,ir as Lt,Zi as M,Me as Mn,cr as Mt,Qi as N,Fe as Nn,fr as Nt,sa as O,Pe as On,Z as Ot,qi as P,w as Pn,dr as Pt,Di as Q,Y as Qt,Hi as R,Jn as Rt,ga as S,Ze as Sn,Dr as St,ma as T,at as Tn,Cr as Tt,Wi as U,Fn as Ut,Ii as V,tr as Vt,ki as W,Hn as Wt,Ei as X,Un as Xt,Oi as Y,Pn as Yt,Ti as Z,Bn as Zt,Sa as _,V as _n,Q as _t,Ha as a,J as an,ei as at,ba as b,ut as bn,yr as bt,Ra as c,q as cn,Yr as ct,Oa as d,$t as dn,Wr as dt,yn as en,pi as et,ka as f,fn,Lr as ft,Ca as g,B as gn,Sr as gt,Ea as h,H as hn,br as ht,Ua as i,_n as in,ti as it,$i as j,Ne as jn,or as jt,ra as k,Le as kn,X as kt,za as l,an as ln,Jr as lt,Ma as m,qt as mn,vr as mt,qa as n,mn as nn,ai as nt,Va as o,K as on,Zr as ot,Ia as p,G as pn,Hr as pt,Mi as q,Ln as qt,Ka as r,gn as rn,ri as rt,Ba as s,Qt as sn,Xr as st,Ya as t,vn as tn,ii as tt,$ as u,dn as un,qr as ut,xa as v,z as vn,Ar as vt,pa as w,$e as wn,xr as wt,va as x,ct as xn,wr as xt,_a as y,_t as yn,Tr as yt,zi as z,Yn as zt};